"""What a conversion does with labelled images: keeps them apart, climbs the gate's ladder, draws up the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from coralsmith.accuracy_meter import AccuracyMeter, LabelledImages
from coralsmith.detection.head import DetectionHead
from coralsmith.errors import CoralsmithError, DetectionHeadError, UsageError
from coralsmith.evaluation.ledger import Contender, Entry
from coralsmith.findings import Finding
from coralsmith.gate import Climb, climb
from coralsmith.graph import Graph
from coralsmith.importers.imported import Imported
from coralsmith.measured_model import ImportChoices, compiled_model, measured_graph
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.quantizer import Quantized
from coralsmith.recipe import Recipe
from coralsmith.report.accuracy import AccuracyRecord
from coralsmith.rungs import LADDER, Rung, distinct
from coralsmith.runtime.edgetpu_library import reason_for_doubt
from coralsmith.runtime.machine import ThisMachine
from coralsmith.source_detections import source_contender

NOT_ON_DEVICE: Final = "edgetpu-not-measured"


class ConversionAccuracy:
    """The accuracy of one conversion; without a data set it does nothing.

    Args:
        folder: The data set, or None.
        split: Which of its images.
        recipe: The user's choices.
        name: Name of the model, that its files begin with.
        progress: Told of every model and image.

    Raises:
        UsageError: A limit or a split is given, but no data set; or strictness without a limit.
    """

    def __init__(
        self, folder: Path | None, split: str | None, recipe: Recipe, name: str, progress: Progress = SILENT
    ) -> None:
        if folder is None and (recipe.max_ap_drop is not None or recipe.strict or split is not None):
            raise UsageError(
                "A limit on the loss of accuracy needs labelled images to measure it on.",
                hint="Give COCO, Pascal VOC or YOLO data with --dataset.",
            )
        if recipe.strict and recipe.max_ap_drop is None:
            raise UsageError(
                "--strict says how a limit on the loss of accuracy is read, but there is no limit.",
                hint="Give one, such as --max-ap-drop 0.005, or leave --strict out.",
            )
        self.record: AccuracyRecord | None = None
        self._folder, self._split = folder, split
        self._recipe, self._name, self._progress = recipe, name, progress
        self._labelled: LabelledImages | None = None
        self._meter: AccuracyMeter | None = None
        self._climb: Climb | None = None
        self._source_head: DetectionHead | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether there is a data set."""
        return self._folder is not None

    def set_apart(self, paths: list[Path]) -> tuple[list[Path], list[Finding]]:
        """Read the data set; the paths without its images, and a finding where some were among them.

        Raises:
            CoralsmithError: The data set cannot be used, or holds all of the images.
        """
        assert self._folder is not None, "only called with a data set"
        self._labelled = LabelledImages.read(self._folder, self._split)
        return self._labelled.without(paths)

    def require_measurable(self, imported: Imported, head: DetectionHead | None) -> None:
        """Refuse what cannot be measured before the work begins.

        Raises:
            DetectionHeadError: There is no head, or it does not know the classes of the data set.
            UsageError: There is a limit, but no float model to lose against.
        """
        if self._labelled is None:
            return
        if head is None:
            raise DetectionHeadError(
                "Accuracy cannot be measured without a detection head.", hint="Give it with --head head.json."
            )
        if imported.is_quantized and self._recipe.max_ap_drop is not None:
            raise UsageError(
                "The source is quantized already, so there is no float model that it could lose accuracy against.",
                hint="Give the float model, or leave --max-ap-drop out: --dataset alone measures.",
            )
        self._labelled.require_known(head)
        self._source_head = head

    def quantize(
        self,
        by: Callable[[Rung], Quantized],
        finish: Callable[[Quantized], Graph],
        reference: Graph,
        head: DetectionHead,
    ) -> tuple[Quantized, list[Finding]]:
        """The first way to quantize that loses little enough, else the one that loses least.

        Args:
            by: Quantizes in one way.
            finish: Makes the model that is delivered.
            reference: The float graph.
            head: Of both.
        """
        assert self._recipe.max_ap_drop is not None, "only called with a limit"

        def measure(quantized: Quantized) -> Entry:
            return self._measured(finish(quantized), reference, head)

        limit, strict = self._recipe.max_ap_drop, self._recipe.strict
        ladder = distinct(LADDER, self._recipe)
        self._climb = climb(by, measure, limit, ladder, strict=strict, progress=self._progress)
        return self._climb.quantized, self._climb.findings

    def measure(
        self, final: Graph, reference: Graph | None, head: DetectionHead, imported: Imported
    ) -> list[Finding]:
        """Draw up the ledger of all forms, the source run by its own framework among them.

        Args:
            final: The int8 model as it is delivered.
            reference: The float graph; None where the source was quantized already.
            head: Of both.
            imported: The source.
        """
        entry = self._measured(final, reference, head) if self._climb is None else self._climb.entry
        assert self._meter is not None and self._source_head is not None, "the model was measured"
        choices = ImportChoices(self._recipe.trust, self._recipe.input_size, self._recipe.factory)
        source = source_contender(
            imported,
            self._source_head,
            choices.options(),
            self._meter.decoding,
            self._meter.data.dataset.images,
            progress=self._progress,
        )
        gate = None if self._climb is None else self._climb.record
        self.record = self._meter.record(entry, source if isinstance(source, Contender) else None, gate)
        return [*self._meter.noticed(entry), *([source] if isinstance(source, Finding) else [])]

    def measure_compiled(self, file: Path, head: DetectionHead) -> list[Finding]:
        """Add the compiled model to the ledger, measured on an Edge TPU; a finding where none can run it here.

        Args:
            file: What the compiler wrote.
            head: Of the model.
        """
        assert self._meter is not None and self.record is not None, "the int8 model was measured"
        doubt = reason_for_doubt(ThisMachine())
        if doubt:
            return [_not_on_device(doubt, file)]
        try:
            row = self._meter.further_row(compiled_model(file, head))
        except CoralsmithError as error:  # the conversion is done: nothing that happens here may undo it
            return [_not_on_device(error.message, file)]
        self.record = replace(self.record, ledger=(*self.record.ledger, row))
        return []

    def _measured(self, final: Graph, reference: Graph | None, head: DetectionHead) -> Entry:
        assert self._labelled is not None, "only called with a data set"
        if self._meter is None:
            other = None if reference is None else measured_graph(reference, head, f"{self._name}_float.tflite")
            self._meter = AccuracyMeter(self._labelled, other, seed=self._recipe.seed, progress=self._progress)
        return self._meter.measure(measured_graph(final, head, f"{self._name}_int8.tflite"))


def _not_on_device(reason: str, file: Path) -> Finding:
    return Finding(
        NOT_ON_DEVICE,
        "info",
        f"The ledger ends with int8 on the CPU. {reason}",
        fix=f"`coralsmith evaluate {file.name} --dataset DIR` measures it where an Edge TPU is.",
        evidence="measured",
    )
