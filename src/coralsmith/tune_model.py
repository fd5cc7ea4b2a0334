"""The public `tune`: a conversion whose int8 model is trained, without labels or with them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from coralsmith.api import finish
from coralsmith.errors import MissingExtraError, UsageError
from coralsmith.job import Job
from coralsmith.pipeline import Conversion
from coralsmith.progress import SILENT, Progress
from coralsmith.recipe import load_recipe
from coralsmith.report.document import ConversionReport
from coralsmith.training_set import TrainingSet

PathLike = str | Path


def tune(
    source: PathLike,
    images: PathLike,
    out: PathLike | None = None,
    *,
    dataset: PathLike | None = None,
    split: str | None = None,
    form: Literal["int8", "float"] = "int8",
    recipe: PathLike | None = None,
    head: PathLike | None = None,
    labels: PathLike | None = None,
    resume: bool = True,
    force: bool = False,
    progress: Progress = SILENT,
    **choices: Any,
) -> ConversionReport:
    """Convert a trained detector, and train its int8 model to reproduce the float model; no labels needed.

    With a labelled data set it is trained to find the objects in that as well, while it follows the float model.

    Args:
        source: As in `convert`.
        images: Folder of typical photos, without labels.
        out: Output folder, as `convert` writes it; by default ``<name>-edgetpu`` in the current folder.
        dataset: Labelled images to train with: COCO, Pascal VOC or YOLO.
        split: Which of them; by default "train", never a split for measuring.
        form: What is trained: the int8 model; or the float model, with labels, which is then quantized as
            `convert` does it with ``quantization="auto"``.
        recipe: YAML file with fields of `coralsmith.recipe.Recipe`.
        head: Head file (`head.json`) where the model's own head is not to be used.
        labels: Label file.
        resume: Go on where an earlier run into the same folder was stopped.
        force: Write into a folder that holds other files, and reuse nothing.
        progress: Told about every step.
        **choices: Fields of the recipe, which win over the file.

    Returns:
        What `report.json` holds, as `convert` does.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: The data set has no such split; or the float model was to be trained without labels.
        TrainingError: The loss is not finite.
        CoralsmithError: The input, an option or the machine does not allow it.
    """
    require_torch()
    if split is not None and dataset is None:
        raise UsageError(
            f"There is no data set that '{split}' could be a split of.", hint="Give one by --dataset."
        )
    if form == "float" and dataset is None:
        raise UsageError(
            "The float model cannot be trained without labels: there is nothing that it could follow but itself.",
            hint="Give labelled images by --dataset, or leave --float out.",
        )
    job = Job(
        source=Path(source).expanduser(),
        recipe=load_recipe(_path(recipe), choices),
        images=Path(images).expanduser(),
        out=_path(out),
        head=_path(head),
        labels=_path(labels),
        tune=form,
        training=None if dataset is None else TrainingSet.find(Path(dataset), split),
        resume=resume,
        force=force,
    )
    run = Conversion(job, progress)
    run.run()
    return finish(run)


def require_torch() -> None:
    """Make sure that training is possible here, before anything else takes time.

    Raises:
        MissingExtraError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "Tuning")


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path).expanduser()
