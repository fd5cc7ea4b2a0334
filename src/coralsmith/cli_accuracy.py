"""The commands about how well a model detects. Like `cli.py`: parse, call the API, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from coralsmith.cli_options import (
    CompilerPlace,
    DataSet,
    Factory,
    Force,
    HeadFile,
    InputSize,
    InputType,
    Json,
    LabelFile,
    Quiet,
    RecipeFile,
    Repair,
    Samples,
    Seed,
    Split,
    Trust,
    TrustOrRecipe,
    Verbose,
    Weights,
    print_json,
    progress_unless,
)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line, in the order in which the help shows them."""
    app.command()(tune)
    app.command()(evaluate)


def tune(
    source: Annotated[Path, typer.Argument(help="Keras, SavedModel, frozen .pb, ONNX, PyTorch or .tflite model.")],
    images: Annotated[Path, typer.Option("--images", help="Folder of typical photos; no labels needed.")],
    out: Annotated[Path | None, typer.Option("--out", help="Output folder.  [default: ./<name>-edgetpu]")] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Labelled images to train with: COCO, Pascal VOC or YOLO.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Which of the labelled images.  [default: train]")
    ] = None,
    train_float: Annotated[
        bool, typer.Option("--float", help="Train the float model with the labels, then quantize it.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="How often each image is looked at.  [default: 160 steps]")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Longest training; 0 for no limit.  [default: 10]")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Images of one step.  [default: 4]")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="In quantization steps.  [default: 0.001]")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda, ...  [default: a GPU where torch sees one]")
    ] = None,
    memory_format: Annotated[
        Literal["auto", "channels-last", "contiguous"] | None,
        typer.Option("--memory-format", help="Order of values.  [default: the faster one, timed]"),
    ] = None,
    recipe: RecipeFile = None,
    head: HeadFile = None,
    labels: LabelFile = None,
    io: InputType = None,
    weights: Weights = None,
    repair: Repair = None,
    samples: Samples = None,
    seed: Seed = None,
    compiler: CompilerPlace = None,
    trust: TrustOrRecipe = None,
    input_size: InputSize = None,
    factory: Factory = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on where a run was stopped.")] = True,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a detector, and train its int8 model to follow the float model on photos without labels.

    Writes what `convert` writes, and needs torch. The result is never further from the float model, on images held
    back from the training, than post-training quantization. With --dataset it is trained to find labelled objects
    as well, and the best state is the one that finds those of held-back training images best. With --float the
    float model is trained so, and then quantized with --quantization auto.

    Example: coralsmith tune detector.keras --images photos/
    """
    from coralsmith.tune_model import tune as run

    with progress_unless(quiet or json) as progress:
        report = run(
            source,
            images,
            out,
            dataset=dataset,
            split=split,
            form="float" if train_float else "int8",
            recipe=recipe,
            head=head,
            labels=labels,
            resume=resume,
            force=force,
            progress=progress,
            tuning_epochs=epochs,
            tuning_minutes=minutes,
            tuning_batch=batch,
            tuning_rate=learning_rate,
            tuning_device=device,
            tuning_memory_format=memory_format,
            io=io,
            weights=weights,
            repair=repair,
            samples=samples,
            seed=seed,
            compiler=compiler,
            trust=trust,
            input_size=input_size,
            factory=factory,
        )
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal import print_summary

        print_summary(report, out or Path(f"{report.name}-edgetpu"), verbose=verbose)
    raise typer.Exit(1 if report.verdict.status == "blocked" else 0)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model in any source format, float, int8 or compiled.")],
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
