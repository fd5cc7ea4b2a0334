"""The commands about how well a model detects. Like `cli.py`: parse, call the API, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coralsmith.cli_options import (
    DataSet,
    Factory,
    HeadFile,
    InputSize,
    Json,
    LabelFile,
    Quiet,
    Split,
    Trust,
    Verbose,
    print_json,
    progress_unless,
)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line, in the order in which the help shows them."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model in any source format, float or int8.")],
    dataset: DataSet = None,
    split: Split = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="Another model to compare with; several, the reference first."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images without labels, for --against.")
    ] = None,
    head: HeadFile = None,
    labels: LabelFile = None,
    source: Annotated[
        bool, typer.Option("--source/--no-source", help="Run training formats in their own framework too.")
    ] = True,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Reuse what models found in earlier runs, and remember.")
    ] = True,
    trust: Trust = False,
    input_size: InputSize = None,
    factory: Factory = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure average precision on labelled images, alone or beside another model.

    With --against: the drop with its paired interval, and the agreement of the two models, which needs no labels.

    Example: coralsmith evaluate detector_int8.tflite --dataset data/ --against detector_float.tflite
    """
    from coralsmith.evaluate_model import evaluate as run

    with progress_unless(quiet or json) as progress:
        report = run(
            model,
            dataset,
            images=images,
            split=split,
            against=against or [],
            head=head,
            labels=labels,
            source=source,
            cache=cache,
            trust=trust,
            input_size=input_size,
            factory=factory,
            progress=progress,
        )
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal_accuracy import print_evaluation

        print_evaluation(report, verbose=verbose)
