"""A real OpenSSH server on 127.0.0.1, with keys, port and settings of its own, for one session of tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = "stand-in-host"
_INSTALL = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "openssh-server"]


class NoServerError(Exception):
    """There is no OpenSSH server here and none can be installed."""


@dataclass(frozen=True)
class SshServer:
    """A running server.

    Attributes:
        home: Folder with everything about it; `tmp` in it is the server's folder for temporary files.
        process: The daemon.
        config: The client's configuration, which knows the server as `HOST`.
        port: Its port on 127.0.0.1.
    """

    home: Path
    process: subprocess.Popen[bytes]
    config: Path
    port: int

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def program(self) -> Path:
        return self.home / "bin" / "edgetpu_compiler"

    def cut_connections(self) -> int:
        """Kill the server's processes of all open connections, without a word to the other side."""
        sessions = [pid for pid in _descendants(self.process.pid) if _name(pid).startswith("sshd")]
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(sessions)


def install_server() -> Path:
    """The path of sshd, which is installed first where that can start no service of the machine.

    Raises:
        NoServerError: It is not there and may not or cannot be installed.
    """
    if (found := _sshd()) is not None:
        return found
    may_install = os.geteuid() == 0 and shutil.which("apt-get") and not Path("/run/systemd/system").exists()
    if not may_install:
        raise NoServerError("OpenSSH's server is not installed (apt-get install openssh-server)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # starts no service
    options = ["-o", "DPkg::Lock::Timeout=120"]
    for command in (["apt-get", "update", "-qq"], [*_INSTALL, *options]):
        subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        if (found := _sshd()) is not None:
            return found
    raise NoServerError("OpenSSH's server is not installed, and apt-get could not install it")


@contextlib.contextmanager
def ssh_server(home: Path) -> Iterator[SshServer]:
    """Start a server whose user is the caller.

    Raises:
        NoServerError: There is none, or it does not start.
    """
    sshd, port = install_server(), _free_port()
    for name in ("tmp", "bin"):
        (home / name).mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    (home / "greeting").write_text("")
    (home / "sshd_config").write_text(_server_config(home, port))
    config = home / "ssh_config"
    config.write_text(_client_config(home, port))
    host_key = " ".join((home / "host_key.pub").read_text().split()[:2])
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # which a service would have made at the start of the machine
    with (home / "sshd.log").open("wb") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", home / "sshd_config"], stderr=log)
    server = SshServer(home, process, config, port)
    try:
        _wait_for(port, process, home / "sshd.log")
        yield server
    finally:
        server.cut_connections()
        process.kill()
        process.wait()


def _server_config(home: Path, port: int) -> str:
    return f"""
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host_key
PidFile {home}/sshd.pid
AuthorizedKeysFile {home}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
SetEnv EDGETPU_COMPILER={home}/bin/edgetpu_compiler TMPDIR={home}/tmp BASH_ENV={home}/greeting
"""


def _client_config(home: Path, port: int) -> str:
    return f"""
Host 127.0.0.1 {HOST}
    HostName 127.0.0.1
    User {getpass.getuser()}
    IdentityFile {home}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {home}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
Host {HOST}
    Port {port}
Host stranger
    HostName 127.0.0.1
    Port {port}
    UserKnownHostsFile /dev/null
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
Host nobody-there
    HostName 127.0.0.1
    Port 1
"""


def _sshd() -> Path | None:
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    process.kill()
    raise NoServerError(f"OpenSSH's server does not start: {log.read_text(errors='replace')[-500:]}")


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
