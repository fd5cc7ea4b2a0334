"""A foreign program never outlives the call, whatever ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from coralsmith.compiler.process import run_bounded


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_two_outputs_stay_apart(tmp_path):
    result = run_bounded(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"),
        folder=tmp_path,
        timeout_s=30,
    )
    assert (result.exit_code, result.stdout, result.stderr) == (7, "out\n", "err\n")


def test_head_and_tail_of_a_long_output_are_kept(tmp_path):
    code = "import sys; w = sys.stdout.write; w('head'); [w('x' * 1000000) for _ in range(9)]; w('tail')"
    result = run_bounded(python(code), folder=tmp_path, timeout_s=30)
    assert result.stdout.startswith("head") and result.stdout.endswith("tail")
    assert f"{9_000_008 - 2 * 2 * 1024 * 1024} bytes left out" in result.stdout


def test_a_signal_shows_as_a_negative_exit_code(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert run_bounded(python(code), folder=tmp_path, timeout_s=30).exit_code == -signal.SIGSEGV


def test_a_child_left_behind_does_not_keep_the_caller_waiting(tmp_path):
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    started = time.monotonic()
    assert run_bounded(python(code), folder=tmp_path, timeout_s=60).exit_code == 0
    assert time.monotonic() - started < 30


def test_an_interrupt_kills_the_program_and_is_passed_on(tmp_path):
    started = tmp_path / "started"

    def interrupt_when_started() -> None:
        while not started.is_dir():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_started, daemon=True).start()
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); os.mkdir('started'); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        run_bounded(python(code), folder=tmp_path, timeout_s=60)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
