"""What a conversion is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from coralsmith.importers.source_files import SAVED_MODEL_FILE, SAVED_MODEL_FOLDER
from coralsmith.importers.tfjs.model_files import MODEL_FILE as TFJS_FILE
from coralsmith.recipe import Recipe
from coralsmith.training_set import TrainingSet

_NAMELESS: Final = (SAVED_MODEL_FOLDER, SAVED_MODEL_FILE, TFJS_FILE)


@dataclass(frozen=True)
class Job:
    """A source, the user's choices, and where the rest of it lies.

    Attributes:
        source: The trained model.
        recipe: The user's choices.
        images: Folder of photos; needed unless the model is quantized already.
        out: Output folder; by default ``<name>-edgetpu`` in the current folder.
        head: Head file, where the model's own head is not to be used.
        labels: Label file.
        dataset: Labelled images to measure accuracy on.
        split: Which of them; see `load_dataset`.
        tune: Train the int8 model to follow the float model, whatever less would do; or, before it is quantized,
            the float model to find labelled objects.
        training: Labelled images to train with.
        resume: Reuse results of an earlier run into the same folder.
        force: Write into a folder that holds other files, and reuse nothing.
    """

    source: Path
    recipe: Recipe
    images: Path | None = None
    out: Path | None = None
    head: Path | None = None
    labels: Path | None = None
    dataset: Path | None = None
    split: str | None = None
    tune: Literal["int8", "float"] | None = None
    training: TrainingSet | None = None
    resume: bool = True
    force: bool = False

    @property
    def name(self) -> str:
        """The name that all output files begin with: the source's, without its ending and without "_float".

        A SavedModel or TensorFlow.js model called no more than that goes by the name of its folder.
        """
        named = self.source.absolute()
        while named.name in _NAMELESS:
            named = named.parent
        return named.name.removesuffix(named.suffix).removesuffix("_float") or "model"
