"""A compiler on another machine, by a real OpenSSH server: nothing half, nothing left behind, nothing misread.

What runs there is the stand-in that speaks the compiler's format.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

import coralsmith
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.place import private_folder, work_folder
from coralsmith.compiler.remote import LOGIN_LINE, RemoteCompiler
from coralsmith.compiler.run import Compilation, compile_model
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.errors import CompilerError, UsageError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import serialize_for_interpreter
from tests.compiler.breaking_stand_in import package_of, with_packages
from tests.compiler.conftest import Behave, behaviour_of, errors, write_stand_in
from tests.compiler.ssh_server import HOST, NoServerError, SshServer, ssh_server
from tests.compiler.test_run import ends
from tests.tiny_detector import write_photos, write_tiny_detector

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def the_server(tmp_path_factory) -> Iterator[SshServer]:
    try:
        with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
            write_stand_in(running.program)
            yield running
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def server(the_server, tmp_path, monkeypatch) -> SshServer:
    """The server, with the user's ssh knowing it."""
    ssh = tmp_path / "bin of the user" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]}\nexec ssh -F "{the_server.config}" "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    for leftover in (the_server.home / "bin" / "state").iterdir():
        leftover.unlink()
    return the_server


@pytest.fixture
def remote(server) -> RemoteCompiler:
    return RemoteCompiler(HOST, "option")


@pytest.fixture
def over_there(server, pair) -> Behave:
    return behaviour_of(server.program, pair)


@pytest.fixture
def run(remote, over_there, pair, tmp_path) -> Callable[..., Compilation]:
    def compile_in(scenario: str, **options) -> Compilation:
        over_there(scenario)
        return compile_model(pair / "model.tflite", remote, tmp_path / "out", **{"attempts": 1, **options})

    return compile_in


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_clean(server: SshServer) -> bool:
    return wait_until(lambda: not list(server.temporary.iterdir()))


def test_a_model_goes_there_and_the_compilers_own_bytes_come_back(run, pair, server, tmp_path):
    compilation = run("success")
    assert compilation.succeeded and compilation.findings == []
    assert compilation.model.read_bytes() == (pair / "model_edgetpu.tflite").read_bytes()
    assert "Mapped to Edge TPU" in compilation.log.read_text()
    assert (compilation.result.mapped, compilation.result.on_chip_used_bytes) == (3, 66 * 1024)
    assert compilation.compiler == f"ssh:{HOST}"
    assert is_clean(server)


@pytest.mark.slow
def test_a_login_shell_that_greets_is_no_harm(run, remote, server):
    greeting = server.home / "greeting"
    greeting.write_text("echo Welcome to this machine; echo There is news >&2\n")
    try:
        assert remote.identity.version == "16.0.384591198"
        assert run("success").succeeded
    finally:
        greeting.write_text("")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{user}@127.0.0.1:{port}", "//{user}@127.0.0.1:{port}"])
def test_a_port_may_stand_behind_the_address(server, over_there, pair, tmp_path, form):
    over_there("success")
    host = form.format(user=getpass.getuser(), port=server.port)
    done = compile_model(pair / "model.tflite", RemoteCompiler(host, "option"), tmp_path / "out")
    assert done.succeeded and done.compiler == f"ssh:{host}"


@pytest.mark.slow
def test_what_it_is_is_asked_over_there(remote, over_there, server):
    over_there("success")
    assert remote.identity.version == "16.0.384591198"
    assert remote.identity.fingerprint == hashlib.sha256(server.program.read_bytes()).hexdigest()


def test_arguments_arrive_to_the_letter(run, server):
    cut = ("a b", "$(touch pwned)", "it's", '"quoted"', "-x;y", "\\n", "*", " space ", "`id`", "ünï", "a&&b|c>d")
    run("success", options=CompilerOptions(cut=cut))
    seen = (server.home / "bin" / "state" / "arguments").read_text().split("\n")
    assert seen == ["-s", "-i", ",".join(cut), "-t", "600", "-o", "out", "model.tflite"]
    assert not list(server.home.rglob("pwned"))


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "ksh", "tcsh", "fish"])
def test_any_login_shell_takes_the_one_line_that_it_is_given(shell):
    """The line reads the script to the byte; what comes behind it is left for the script."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    script = "printf '%s ' \"it's\" '$HOME' \"`echo ok`\"\nhead -c 6 | tr a-z A-Z\n"
    line = LOGIN_LINE.format(count=len(script))
    done = subprocess.run(
        [shell, "-c", line], input=f"{script}payload", capture_output=True, text=True, check=True
    )
    assert done.stdout == "it's $HOME ok PAYLOA"


def test_a_line_break_in_an_argument_is_refused(remote, tmp_path):
    with private_folder() as parent, pytest.raises(UsageError, match="line break"):
        remote.execute(work_folder(parent), ["-i", "a\nb"], 10)


@pytest.mark.slow
def test_names_of_files_stay_at_home(remote, over_there, pair, server, tmp_path):
    over_there("success")
    model = tmp_path / "it's $(touch pwned); -rf \n.tflite"
    model.write_bytes((pair / "model.tflite").read_bytes())
    assert compile_model(model, remote, tmp_path / "out").succeeded
    assert not list(server.home.rglob("pwned"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        ("refused", "operation-version"),
        ("silent", "unknown-compiler-failure"),
        ("stub", "stub-output"),
        ("killed_half_way", "compiler-killed"),
        ("crash", "compiler-crash"),
    ],
)
def test_failures_over_there_are_told_apart(run, server, tmp_path, scenario, rule):
    assert errors(run(scenario)) == [rule]
    assert not (tmp_path / "out").exists()
    assert is_clean(server)


@pytest.mark.slow
def test_a_hang_ends_over_there_at_the_time_limit(run, server):
    assert errors(run("hang", timeout_s=3.0)) == ["compiler-timeout"]
    assert ends(int((server.home / "bin" / "state" / "child").read_text()))
    assert is_clean(server)


@pytest.mark.slow
def test_a_log_of_100_mb_comes_over_the_line(run, server):
    compilation = run("huge_log")
    assert compilation.succeeded and compilation.result.mapped == 3
    assert is_clean(server)


def test_a_cut_connection_leaves_nothing_and_the_next_run_succeeds(run, server, tmp_path):
    state = server.home / "bin" / "state"

    def cut_when_it_runs() -> None:
        wait_until((state / "started").exists)
        server.cut_connections()

    cutter = threading.Thread(target=cut_when_it_runs)
    cutter.start()
    with pytest.raises(CompilerError, match="was cut") as caught:
        run("hang", timeout_s=60.0)
    cutter.join()
    assert caught.value.exit_code == 3
    assert is_clean(server)
    assert ends(int((state / "child").read_text()))
    assert not (tmp_path / "out").exists()
    assert run("success").succeeded


@pytest.mark.slow
def test_a_script_killed_over_there_is_cleaned_up_after(run, server, tmp_path):
    state = server.home / "bin" / "state"

    def kill_when_it_runs() -> None:
        wait_until((state / "started").exists)
        (script,) = server.temporary.glob("*/script")
        os.kill(int(script.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill_when_it_runs)
    killer.start()
    with pytest.raises(CompilerError, match="was cut"):
        run("hang", timeout_s=60.0)
    killer.join()
    assert list(server.temporary.iterdir()) == []
    assert ends(int((state / "child").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_an_end_of_this_side_ends_the_other(server, over_there, pair, tmp_path, ending):
    over_there("hang")
    script = (
        "import sys; from pathlib import Path\n"
        "from coralsmith.compiler.remote import LOGIN_LINE, RemoteCompiler\n"
        "from coralsmith.compiler.run import compile_model\n"
        "compile_model(Path(sys.argv[1]), RemoteCompiler(sys.argv[2], 'option'), Path(sys.argv[3]))\n"
    )
    command = [sys.executable, "-c", script, str(pair / "model.tflite"), HOST, str(tmp_path / "out")]
    state = server.home / "bin" / "state"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed process leaves there
    client = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    assert wait_until((state / "started").exists)
    client.send_signal(ending)
    client.wait(30)
    assert is_clean(server)
    assert ends(int((state / "child").read_text()))


@pytest.mark.slow
def test_a_full_disk_over_there_is_told(run, remote, over_there, server, pair, tmp_path):
    small = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", server.temporary], capture_output=True, check=False
    )
    if small.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        over_there("success")
        with pytest.raises(CompilerError, match="did not arrive whole") as caught:
            compile_model(pair / "model.tflite", remote, tmp_path / "out")
        assert "KiB are free" in caught.value.hint
        assert is_clean(server)
    finally:
        subprocess.run(["umount", server.temporary], check=True)
    assert run("success").succeeded


@pytest.mark.slow
def test_a_disk_that_fills_up_while_compiling_is_told(run, server, tmp_path):
    small = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", server.temporary], capture_output=True, check=False
    )
    if small.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        assert "disk-full" in errors(run("success"))
        assert is_clean(server)
    finally:
        subprocess.run(["umount", server.temporary], check=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_several_runs_at_once_do_not_meet(remote, over_there, pair, server, tmp_path):
    over_there("success")
    done: list[Compilation] = []

    def compile_into(name: str) -> None:
        done.append(compile_model(pair / "model.tflite", remote, tmp_path / name))

    threads = [threading.Thread(target=compile_into, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [compilation.succeeded for compilation in done] == [True, True]
    assert is_clean(server)


@pytest.mark.slow
def test_folders_of_runs_long_dead_are_removed(run, server):
    old, young = server.temporary / "coralsmith-old", server.temporary / "coralsmith-young"
    for folder in (old, young):
        (folder / "out").mkdir(parents=True)
    os.utime(old, (0, 0))
    assert run("success").succeeded
    assert [path.name for path in server.temporary.iterdir()] == ["coralsmith-young"]
    (young / "out").rmdir()
    young.rmdir()


@pytest.mark.slow
def test_a_machine_without_the_compiler_says_so(run, server):
    hidden = server.program.rename(server.program.with_name("hidden"))
    try:
        with pytest.raises(CompilerError, match=f"There is no edgetpu_compiler on {HOST}"):
            run("success")
    finally:
        hidden.rename(server.program)


@pytest.mark.slow
def test_convert_compiles_on_another_machine(server, over_there, pair, tmp_path, no_proof):
    model, photos = write_tiny_detector(tmp_path / "detector"), write_photos(tmp_path / "photos")
    coralsmith.convert(model, photos, tmp_path / "int8", compiler="none")
    graph = read_tflite(tmp_path / "int8" / "tiny_int8.tflite")
    package = package_of(pair / "model_edgetpu.tflite")
    output = tmp_path / "as if compiled.tflite"
    output.write_bytes(serialize_for_interpreter(with_packages(graph, [(0, len(graph.ops))], package))[0])
    counts = Counter(op.kind for op in graph.ops)
    over_there("success", rows=[[kind, count, MAPPED] for kind, count in counts.items()], output=output)
    report = coralsmith.convert(model, photos, tmp_path / "out", compiler=f"ssh:{HOST}")
    assert (report.verdict.status, report.compiler.where) == ("compiled", f"ssh:{HOST}")
    assert (tmp_path / "out" / "tiny_int8_edgetpu.tflite").read_bytes() == output.read_bytes()
    assert is_clean(server)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "said"), [("nobody-there", "Connection refused"), ("stranger", "Host key verification failed")]
)
def test_a_machine_that_cannot_be_reached_is_no_failure_of_the_compiler(server, pair, tmp_path, host, said):
    with pytest.raises(CompilerError, match=f"{host} cannot be reached") as caught:
        compile_model(pair / "model.tflite", RemoteCompiler(host, "option"), tmp_path / "out")
    assert said in caught.value.hint and f"`ssh {host}`" in caught.value.hint
