"""What `coralsmith doctor` says about the compiler: where it is, which, whether it works, and how to get it."""

from __future__ import annotations

import platform
from typing import Final

from coralsmith.compiler.locate import ENVIRONMENT_VARIABLE, find_compiler
from coralsmith.compiler.options import FIRST_WITH_SEARCH
from coralsmith.compiler.place import PROGRAM, Compiler, private_folder
from coralsmith.errors import CompilerError, CoralsmithError, UsageError
from coralsmith.findings import MachineFact

PART: Final = "compiler"

_PROBE_SECONDS: Final = 120.0
_PROBE_RUNS: Final = 3  # versions up to 15 fail at random

_ELSEWHERE: Final = (
    "Over ssh: install it on any x86-64 Linux machine, then\n"
    "  coralsmith compile MODEL.tflite --compiler ssh:USER@HOST"
)
_PACKAGE: Final = (
    "Google's package repository no longer offers the compiler, and it may not be passed on, so coralsmith cannot "
    "bring it along. You need your own copy of the package edgetpu-compiler 16.0 (amd64), or of /usr/bin/"
    f"{PROGRAM} and the folder /usr/bin/{PROGRAM}_bin from a machine that has it."
)
_IMAGE: Final = (
    "In a container: put your copy beside docs/compiler/Dockerfile, then\n"
    "  docker build --platform linux/amd64 -t edgetpu-compiler docs/compiler\n"
    "  coralsmith compile MODEL.tflite --compiler docker:edgetpu-compiler"
)
_HERE: Final = (
    "On this machine: sudo dpkg -i edgetpu-compiler_16.0_amd64.deb; without root:\n"
    "  dpkg-deb -x edgetpu-compiler_16.0_amd64.deb ~/edgetpu-compiler\n"
    f"  export {ENVIRONMENT_VARIABLE}=~/edgetpu-compiler/usr/bin/{PROGRAM}"
)

# The steps by operating system, as `platform.system()` names it; "arm" for Linux on another processor.
_STEPS: Final = {
    "Linux": (_PACKAGE, _HERE, _IMAGE, _ELSEWHERE),
    "arm": (
        "The compiler is a program for x86-64; this machine has another processor.",
        _PACKAGE,
        "Emulation for containers, once: docker run --privileged --rm tonistiigi/binfmt --install amd64",
        _IMAGE,
        _ELSEWHERE,
    ),
    "Darwin": (
        "The compiler is a program for Linux; macOS runs it in a container (Docker Desktop, Colima or Podman).",
        _PACKAGE,
        "On Apple silicon switch on Rosetta for x86-64 emulation in the settings of Docker Desktop.",
        _IMAGE,
        _ELSEWHERE,
    ),
    "Windows": (
        "The compiler is a program for Linux; Windows runs it in WSL 2 or in a container (Docker Desktop).",
        _PACKAGE,
        "In WSL 2 (Ubuntu): install coralsmith and the package there, as on Linux.",
        _IMAGE,
        _ELSEWHERE,
    ),
}


def examine_compiler(choice: str = "auto") -> list[MachineFact]:
    """Look for the compiler, ask its version, and let it compile a model of one convolution.

    Args:
        choice: As for `find_compiler`.

    Returns:
        Three lines: found, version, works.
    """
    try:
        compiler = find_compiler(choice)
    except (CompilerError, UsageError) as error:
        return [_fail("found", error.message, f"{error.hint}\n{how_to_get_it()}"), *_not_looked_at()]
    if compiler is None:
        missing = f"no {PROGRAM} on the PATH, none named by {ENVIRONMENT_VARIABLE}"
        return [_fail("found", missing, how_to_get_it()), *_not_looked_at()]
    found = MachineFact(PART, "found", "ok", f"{compiler.name} (by {compiler.found_by})")
    return [found, *_examine(compiler)]


def how_to_get_it(system: str | None = None, machine: str | None = None) -> str:
    """The steps to a compiler on this kind of machine, one a line.

    Args:
        system: "Linux", "Darwin" or "Windows"; by default this machine's.
        machine: The processor, e.g. "x86_64"; by default this machine's.
    """
    system = platform.system() if system is None else system
    machine = platform.machine() if machine is None else machine
    is_foreign = system == "Linux" and machine.lower() not in ("x86_64", "amd64")
    return "\n".join(_STEPS["arm" if is_foreign else system if system in _STEPS else "Linux"])


def _examine(compiler: Compiler) -> list[MachineFact]:
    try:
        identity = compiler.identity
    except CompilerError as error:
        version = _fail("version", error.message, error.hint)
        return [version, MachineFact(PART, "works", "unknown", "not tried, since it does not start")]
    advice = "" if identity.major >= FIRST_WITH_SEARCH else "Version 16 maps more, is steadier and explains more."
    version = MachineFact(PART, "version", "ok", identity.version, advice)
    return [version, _compile_probe(compiler)]


def _compile_probe(compiler: Compiler) -> MachineFact:
    # Here, since most machines have no compiler, and doctor answers at once there.
    from coralsmith.compiler.probe_model import probe_model
    from coralsmith.compiler.run import compile_model
    from coralsmith.graph.writer import write_tflite

    try:
        with private_folder() as folder:
            model = folder / "probe.tflite"
            write_tflite(probe_model(), model)
            done = compile_model(model, compiler, folder, timeout_s=_PROBE_SECONDS, attempts=_PROBE_RUNS)
    except CoralsmithError as error:
        return _fail("works", error.message, error.hint)
    if not done.succeeded:
        first = next(finding for finding in done.findings if finding.severity == "error")
        return _fail("works", f"a model of one convolution does not compile: {first.reason}", first.fix)
    runs = "" if len(done.attempts) == 1 else f" at attempt {len(done.attempts)}"
    return MachineFact(PART, "works", "ok", f"a model of one convolution compiles{runs}, {done.seconds:.1f} s")


def _not_looked_at() -> list[MachineFact]:
    return [MachineFact(PART, name, "unknown", "there is no compiler to ask") for name in ("version", "works")]


def _fail(name: str, value: str, fix: str) -> MachineFact:
    return MachineFact(PART, name, "fail", value, fix)
