"""The commands about the real Edge TPU compiler and the machine. Like `cli.py`: parse, call the API, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coralsmith.cli_options import Json, Quiet, Verbose, print_json, progress_unless

_WHERE = "auto, a path, docker:IMAGE, podman:IMAGE or ssh:[USER@]HOST."


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line, in the order in which the help shows them."""
    app.command()(compile)
    app.command()(doctor)


def compile(  # noqa: A001 - the command is called so
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Full-integer .tflite model.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the compiled model.")] = Path(),
    compiler: Annotated[str, typer.Option("--compiler", help=_WHERE)] = "auto",
    timeout: Annotated[float, typer.Option("--timeout", help="Longest single run in seconds.")] = 600.0,
    min_runtime: Annotated[
        int | None, typer.Option("--min-runtime", min=10, max=14, help="Oldest Edge TPU runtime to run on.")
    ] = None,
    attempts: Annotated[
        int, typer.Option("--attempts", min=1, help="Most runs where it fails; 1 for the plain one alone.")
    ] = 24,
    all_partitions: Annotated[
        bool, typer.Option("--all-partitions", help="Map every part that can be mapped; may be slow.")
    ] = False,
    segments: Annotated[
        int, typer.Option("--segments", min=1, max=64, help="Split the model for this many Edge TPUs.")
    ] = 1,
    together: Annotated[
        bool, typer.Option("--together", help="Compile several models to share one Edge TPU's memory.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of remembered results.  [default: ~/.cache/coralsmith]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Reuse remembered results, and remember.")
    ] = True,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the real Edge TPU compiler, wherever it is, and explain what it says.

    Where the plain run fails, what may help is tried: the same again, the compiler's own search, cuts that find
    the operator that breaks it. `coralsmith doctor` tells how to get a compiler.

    Example: coralsmith compile detector_int8.tflite --out compiled/ --compiler ssh:me@desk
    """
    from coralsmith.api import compile as run
    from coralsmith.errors import UsageError

    if len(models) > 1 and not together:
        raise UsageError(
            "Several models were given.", hint="Compile them one by one, or --together to share one Edge TPU."
        )
    with progress_unless(quiet or json) as progress:
        progress.step("Compile for the Edge TPU")
        result = run(
            models,
            out,
            compiler=compiler,
            timeout_s=timeout,
            min_runtime=min_runtime,
            all_partitions=all_partitions,
            segments=segments,
            attempts=attempts,
            cache=cache,
            resume=resume,
            progress=progress,
        )
    if json:
        print_json(result)
    elif not quiet:
        from coralsmith.report.terminal_compiler import print_compile

        print_compile(result, verbose=verbose)
    raise typer.Exit(0 if result.succeeded else 1)


def doctor(
    compiler: Annotated[str, typer.Option("--compiler", help=_WHERE)] = "auto",
    model: Annotated[
        Path | None, typer.Option("--model", help="A compiled model: does the installed runtime take it?")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Look at what coralsmith uses of this machine: what works, what does not, and the fix.

    It looks at the interpreter, libedgetpu, Edge TPUs on USB and PCIe, the rights to use them, the compiler.
    A pair of libedgetpu and interpreter that nobody is known to have tried is called unknown, not well.

    Example: coralsmith doctor --model detector_int8_edgetpu.tflite
    """
    from coralsmith.doctor import examine

    with progress_unless(quiet or json) as progress:
        found = examine(compiler, model, progress=progress)
    if json:
        print_json(found)
    elif not quiet:
        from coralsmith.report.terminal_compiler import print_examination

        print_examination(found, verbose=verbose)
    raise typer.Exit(0 if found.is_well else 3)
