"""Everything a user can choose about a conversion: one model that the recipe file and the flags both fill."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coralsmith.errors import InputError, UsageError

MAX_RECIPE_BYTES: Final = 1 << 20


class Recipe(BaseModel):
    """The choices of a conversion; every field has the default that suits most people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    io: Literal["uint8", "int8", "float"] = Field(
        default="uint8", description="Element type of the model's input."
    )
    postprocess: Literal["auto", "op", "none"] = Field(
        default="auto", description="Attach TFLite_Detection_PostProcess: when a head is known, always, never."
    )
    weights: Literal["per-channel", "per-tensor"] = Field(
        default="per-channel", description="Scales of the weights."
    )
    quantization: Literal["plain", "auto"] = Field(
        default="plain",
        description="plain: by the fields below. auto: methods that help, measured on held-back images.",
    )
    ranges: Literal["min-max", "percentile", "least-squares"] = Field(
        default="min-max", description="How the range of an activation is found."
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="Share of values kept by ranges: percentile."
    )
    detection_ranges: bool = Field(
        default=False, description="Let the raw heads resolve what detections are made of, and clip the rest."
    )
    equalization: Literal["off", "exact", "clamped"] = Field(
        default="off",
        description="Balance channels of neighbouring layers: never, where it is exact, also below clamps.",
    )
    rounding: Literal["nearest", "adaptive"] = Field(
        default="nearest", description="Round each weight to the nearest integer, or those of a layer together."
    )
    bias_correction: bool = Field(
        default=True, description="Take back in each bias what rounding the weights shifts on average."
    )
    max_ap_drop: float | None = Field(
        default=None, ge=0, le=1, description="Largest loss of AP against the float model; needs a data set."
    )
    strict: bool = Field(
        default=False, description="Hold the upper end of the loss's 95 % interval against max_ap_drop."
    )
    explain: bool = Field(
        default=False, description="Find the share of int8's error that each layer causes; takes a while."
    )
    repair: Literal["exact", "approx", "off"] = Field(default="exact", description="Which repairs may be made.")
    samples: int = Field(default=200, ge=1, description="Most images used for calibration.")
    seed: int = Field(default=0, ge=0, description="Chooses the images when there are more than samples.")
    min_runtime: int = Field(
        default=14, ge=10, le=14, description="Oldest Edge TPU runtime that must run the model."
    )
    compiler: str = Field(
        default="auto", description="auto, none, a path, docker:IMAGE, podman:IMAGE or ssh:[USER@]HOST."
    )
    compiler_timeout_s: float = Field(default=600.0, gt=0, description="Longest run of the compiler in seconds.")
    compiler_attempts: int = Field(
        default=24, ge=1, description="Most runs of the compiler where it fails; 1 for the plain one alone."
    )
    trust: bool = Field(
        default=False, description="Run code that the model file brings along (Keras Lambda layers, pickles)."
    )
    tuning_epochs: int | None = Field(
        default=None, ge=1, description="tune: how often each image is looked at; by default as 160 steps take."
    )
    tuning_minutes: float = Field(
        default=10.0, ge=0, description="tune: longest training; 0 for no limit, for the same bytes everywhere."
    )
    tuning_batch: int = Field(default=4, ge=1, description="tune: images of one step.")
    tuning_rate: float = Field(
        default=0.001, gt=0, description="tune: learning rate, in quantization steps of a weight."
    )
    tuning_device: str = Field(
        default="auto", description="tune: auto, cpu, cuda or another name that torch knows."
    )
    tuning_memory_format: Literal["auto", "channels-last", "contiguous"] = Field(
        default="auto", description="tune: order of values in memory; auto times a step in both."
    )
    tuning_imitation: float = Field(
        default=0.05, ge=0, description="tune: weight of the distance from the float model where labels count 1."
    )
    tuning_samples: int = Field(default=600, ge=4, description="tune: most labelled images that are trained with.")
    input_size: str | None = Field(
        default=None, description="Height x width (240x320) for a model that leaves its input's size open."
    )
    factory: str | None = Field(
        default=None, description="package.module:function that makes the module for a file of PyTorch weights."
    )


def load_recipe(path: Path | None, overrides: dict[str, Any]) -> Recipe:
    """The recipe of a YAML file with the given fields replaced; `None` values replace nothing.

    Raises:
        InputError: The file cannot be read or is not YAML.
        UsageError: A field is unknown or has a value that makes no sense.
    """
    given: dict[str, Any] = _read(path) if path is not None else {}
    given.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Recipe(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"'{field}' cannot be {first['input']!r}: {first['msg']}.",
            hint="`coralsmith convert --help` and docs/usage.md tell the choices.",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    import yaml

    path = path.expanduser()
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise InputError(f"The recipe '{path}' is larger than 1 MiB.")
        document = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"The recipe '{path}' cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"The recipe '{path}' is not YAML.", hint=" ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise InputError(f"The recipe '{path}' is not a list of 'field: value' lines.")
    return {str(name): value for name, value in document.items()}
