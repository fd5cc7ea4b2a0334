from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coralsmith.errors import MachineError
from coralsmith.importers.framework_process import run_module
from coralsmith.importers.imported import Limits, Usage

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a piece of Python as the framework's module, in a folder with a space in its name."""
    folder = tmp_path / "private folder"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(code: str, limits: Limits | None = None) -> tuple[int, Usage, str]:
        (tmp_path / "stand_in.py").write_text(code)
        log = folder / "log.txt"
        try:
            code_and_usage = run_module(
                "stand_in",
                folder / "request.json",
                library="TensorFlow",
                log=log,
                limits=limits or Limits(),
                on_poll=lambda: None,
            )
        finally:
            start.log = log.read_text()
        return (*code_and_usage, start.log)

    return start


def is_running(pid: int) -> bool:
    """Whether a process lives; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> bool:
    for _ in range(100):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


def test_all_noise_goes_to_the_log_and_none_to_the_terminal(run, capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys, os; print('hello'); print('warning', file=sys.stderr); os.write(1, b'from C')"
    exit_code, usage, log = run(code)
    assert exit_code == 0
    assert all(part in log for part in ("hello", "warning", "from C"))
    assert capfd.readouterr() == ("", "")
    assert 0 < usage.seconds < 30


def test_it_works_in_the_requests_folder_and_gets_its_path(run) -> None:
    _, _, log = run("import sys, os; print(os.getcwd() == os.path.dirname(sys.argv[1]), sys.argv[1])")
    assert log.startswith("True ")
    assert log.strip().endswith("private folder/request.json")


def test_a_process_that_takes_too_long_is_ended(run) -> None:
    with pytest.raises(MachineError, match="longer than 1 s"):
        run("import os, time; print(os.getpid(), flush=True); time.sleep(60)", Limits(seconds=1))
    assert wait_until_gone(int(run.log))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched through /proc")
def test_a_process_that_takes_too_much_memory_is_ended(run) -> None:
    with pytest.raises(MachineError, match="more than 100 MB"):
        run("import time; hoard = b'x' * (300 << 20); time.sleep(60)", Limits(megabytes=100))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched through /proc")
def test_the_peak_of_memory_is_reported(run) -> None:
    _, usage, _ = run("import time; hoard = b'x' * (200 << 20); time.sleep(0.5)")
    assert 200 <= usage.peak_megabytes < 400


def test_children_left_behind_are_ended(run) -> None:
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{}']).pid)"
    _, _, log = run(code.format("import time; time.sleep(60)"))
    assert wait_until_gone(int(log))


def test_a_crash_is_told_by_its_signal(run) -> None:
    exit_code, _, _ = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert exit_code == -signal.SIGSEGV


PARENT = """
import sys
from pathlib import Path
from coralsmith.importers.framework_process import run_module
from coralsmith.importers.imported import Limits
folder = Path(sys.argv[1])
log = folder / "log.txt"
run_module("stand_in", folder / "request.json", library="none", log=log, limits=Limits(), on_poll=lambda: None)
"""
CHILD = """
import os, time
from coralsmith.importers.framework_child import end_with_parent
end_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_a_parent_that_is_interrupted_or_killed(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "stand_in.py").write_text(CHILD)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = tmp_path / "log.txt"
    while not (log.exists() and log.read_text().endswith("\n")):
        assert parent.poll() is None
        time.sleep(0.05)
    child = int(log.read_text())
    assert is_running(child)
    parent.send_signal(number)
    parent.wait(20)
    assert wait_until_gone(child)
