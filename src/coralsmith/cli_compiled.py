"""The commands about compiled models. Like `cli.py`: they parse, call the API and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coralsmith.cli_options import Json, Quiet, Verbose, print_json


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line, in the order in which the help shows them."""
    app.command()(inspect)
    app.command()(verify)
    app.command()(decompile)


def inspect(
    model: Annotated[Path, typer.Argument(help="A file that the Edge TPU compiler wrote: *_edgetpu.tflite.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what is inside a compiled model: runtime, memory, inputs and outputs, what stays on the CPU.

    Example: coralsmith inspect detector_int8_edgetpu.tflite
    """
    from coralsmith.inspect_model import inspect as run

    inspection = run(model)
    if json:
        print_json(inspection)
    elif not quiet:
        from coralsmith.report.terminal_inspect import print_inspection

        print_inspection(inspection, verbose=verbose)
    raise typer.Exit(1 if inspection.is_refused else 0)


def verify(
    source: Annotated[Path, typer.Argument(help="The full-integer .tflite model.")],
    compiled: Annotated[
        list[Path], typer.Argument(help="What the compiler made of it; all segments of a pipeline.")
    ],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prove, layer by layer and to the bit, whether a compiled model was made from a source.

    Example: coralsmith verify detector_int8.tflite detector_int8_edgetpu.tflite
    """
    from coralsmith.verify_model import verify as run

    report = run(source, *compiled)
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal_verify import print_verification

        print_verification(report, verbose=verbose)
    raise typer.Exit(1 if report.verdict == "mismatch" else 0)


def decompile(
    compiled: Annotated[
        list[Path], typer.Argument(help="What the compiler made; all segments of a pipeline, in any order.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=".tflite file to write.")],
    like: Annotated[
        Path | None,
        typer.Option("--like", help=".tflite model of the same architecture, with any weights, float or int8."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Read a runnable CPU model back out of a compiled one, and prove it; for models you have the right to.

    Example: coralsmith decompile detector_edgetpu.tflite -o detector.tflite
    """
    from coralsmith.decompile_files import decompile as run

    result = run(*compiled, output=output, like=like)
    if json:
        print_json(result)
    elif not quiet:
        from coralsmith.report.terminal_decompile import print_decompilation

        print_decompilation(result, verbose=verbose)
