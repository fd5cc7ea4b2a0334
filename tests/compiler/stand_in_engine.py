"""A stand-in for Docker and Podman: records its command line, and runs the stand-in compiler as the container.

Like the real engines it runs the container outside of its own process group, where killing the client does not
reach it, and ends it on `rm --force`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

HOME = Path(sys.argv[1])  # where it keeps its records


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def run(arguments: list[str]) -> int:
    failure = HOME / "failure"
    if failure.exists():
        code, _, text = failure.read_text().partition(" ")
        print(text, file=sys.stderr)
        return int(code)
    image = (HOME / "image").read_text()
    position = arguments.index(image)
    folder = value(arguments, "--volume").partition(":")[0]
    program = HOME / "bin" / value(arguments, "--entrypoint")
    command = [program, *arguments[position + 1 :]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    container = subprocess.Popen(command, cwd=folder, start_new_session=True, **pipes)
    (HOME / value(arguments, "--name")).write_text(str(container.pid))
    stdout, stderr = container.communicate()
    sys.stdout.buffer.write(stdout)
    sys.stderr.buffer.write(stderr)
    return container.returncode if container.returncode >= 0 else 128 - container.returncode


def remove(arguments: list[str]) -> int:
    os.killpg(int((HOME / arguments[-1]).read_text()), signal.SIGKILL)
    return 0


def main(arguments: list[str]) -> int:
    with (HOME / "calls").open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    if arguments[:1] == ["run"]:
        return run(arguments)
    if arguments[:1] == ["rm"]:
        return remove(arguments)
    if arguments[:2] == ["image", "inspect"]:
        print("sha256:0123abcd")
        return 0
    return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
