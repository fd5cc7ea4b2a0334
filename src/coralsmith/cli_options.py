"""What the commands share: options that mean the same everywhere, progress, and one JSON document on stdout."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from coralsmith.progress import Progress


def _weight_scales(value: str) -> str:
    """The scales of the weights."""
    _refuse_weights_file(value)
    if value not in ("per-channel", "per-tensor"):
        raise typer.BadParameter(f"'{value}' is neither 'per-channel' nor 'per-tensor'.")
    return value


def _no_weights(value: str) -> str:
    """Nothing: only there to answer who gives a file of PyTorch weights by it."""
    _refuse_weights_file(value)
    raise typer.BadParameter("This command quantizes nothing; leave the option out.")


def _refuse_weights_file(value: str) -> None:
    """A file of PyTorch weights, which is easily given here, is the source itself."""
    if "." in value or "/" in value:
        raise typer.BadParameter(
            f"'{value}' looks like a file of PyTorch weights, which is the source itself. Write: coralsmith "
            f"COMMAND {value} --factory package.module:function --input-size HEIGHTxWIDTH"
        )


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show infos too, and tracebacks of errors.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder of typical photos; no labels needed.")]
HeadFile = Annotated[Path | None, typer.Option("--head", help="head.json, or pipeline.config, for the model.")]
LabelFile = Annotated[Path | None, typer.Option("--labels", help="Label file; one label a line.")]
DataSet = Annotated[Path | None, typer.Option("--dataset", help="Folder of COCO, Pascal VOC or YOLO data.")]
Split = Annotated[
    str | None, typer.Option("--split", help="Which of its images.  [default: test, else val, else all]")
]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="YAML file with any of these choices.")]
InputType = Annotated[
    Literal["uint8", "int8", "float"] | None, typer.Option("--io", help="Input type.  [default: uint8]")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        parser=_weight_scales,
        metavar="<per-channel|per-tensor>",
        help="Scales of the weights.  [default: per-channel]",
    ),
]
NoWeights = Annotated[str | None, typer.Option("--weights", parser=_no_weights, hidden=True)]

Ranges = Annotated[
    Literal["min-max", "percentile", "least-squares"] | None,
    typer.Option("--ranges", help="How activation ranges are found.  [default: min-max]"),
]
Quantization = Annotated[
    Literal["plain", "auto"] | None,
    typer.Option("--quantization", help="auto: methods chosen by measuring.  [default: plain]"),
]
Equalization = Annotated[
    Literal["off", "exact", "clamped"] | None,
    typer.Option("--equalization", help="Balance channels of neighbouring layers.  [default: off]"),
]
DetectionRanges = Annotated[
    bool | None,
    typer.Option("--detection-ranges/--full-ranges", help="Raw heads resolve what detections are made of."),
]
Rounding = Annotated[
    Literal["nearest", "adaptive"] | None,
    typer.Option("--rounding", help="Weights one by one, or of a layer together.  [default: nearest]"),
]
BiasCorrection = Annotated[
    bool | None,
    typer.Option("--bias-correction/--no-bias-correction", help="Biases take back mean errors.  [default: on]"),
]
Repair = Annotated[
    Literal["exact", "approx", "off"] | None,
    typer.Option("--repair", help="Repairs that may be made.  [default: exact]"),
]
Samples = Annotated[int | None, typer.Option("--samples", help="Most images used.  [default: 200]")]
Seed = Annotated[int | None, typer.Option("--seed", help="Chooses among more images.  [default: 0]")]
MinRuntime = Annotated[
    int, typer.Option("--min-runtime", min=10, max=14, help="Oldest Edge TPU runtime to run on.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Run code that the model file brings along.")]
TrustOrRecipe = Annotated[bool | None, typer.Option("--trust", help="Run code that the model file brings along.")]
CompilerPlace = Annotated[
    str | None,
    typer.Option("--compiler", help="auto, none, a path, docker:IMAGE or ssh:HOST.  [default: auto]"),
]
Force = Annotated[bool, typer.Option("--force", help="Write into a foreign folder; reuse nothing.")]
InputSize = Annotated[
    str | None, typer.Option("--input-size", help="HEIGHTxWIDTH where the model leaves it open.")
]
Factory = Annotated[str | None, typer.Option("--factory", help="package.module:function for PyTorch weights.")]


def progress_unless(silent: bool) -> AbstractContextManager[Progress]:
    """Progress on standard error while a command works; nothing where it is to be silent."""
    if silent:
        from coralsmith.progress import SILENT

        return nullcontext(SILENT)
    from coralsmith.report.terminal_progress import shown_progress

    return shown_progress()


def print_json(record: Any) -> None:
    """Write a record as one JSON document on standard output."""
    from coralsmith.report.plain import to_json

    sys.stdout.write(to_json(record))
