"""Post-training quantization whose methods are chosen by what they do to the outputs, on images held back.

One method after the other is tried on some of the calibration images and measured on others; the ones that help
are kept. The model is then quantized with all images. No labels are needed, and no evaluation image is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from coralsmith.errors import ImageDataError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.output_error import OutputMeter
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.quantization.trial import Trial

_LOOKED_AT: Final = 48  # of which every third is held back
_HOLD_BACK_EVERY: Final = 3
# A method that helps less is not worth its price: another sample of images could turn it round.
_LEAST_GAIN_DB: Final = 0.1

# What is tried in turn, each on top of what has won so far; the dearest comes last.
_STEPS: Final[tuple[tuple[dict[str, Any], ...], ...]] = (
    ({"equalization": "exact"}, {"equalization": "clamped"}),
    ({"detection_ranges": True},),
    ({"ranges": "least-squares"}, {"ranges": "percentile"}),
    ({"rounding": "adaptive"},),
)


def auto_quantize(
    graph: Graph,
    inputs: Iterable[Array],
    options: QuantizationOptions | None = None,
    progress: Progress = SILENT,
    threads: int = 2,
) -> Quantized:
    """Quantize a float graph with the methods that bring its outputs closest to the float model's.

    Args:
        graph: A float graph with one input; it is not changed.
        inputs: Normalised float32 images [1, H, W, C]; iterated several times.
        options: Weights, input and heads as the user wants them; the methods in it are where the search starts.
        progress: Told of every trial.
        threads: CPU threads of the interpreter.

    Returns:
        The quantized graph; `trials` tells what was tried, `options` what won.

    Raises:
        UnsupportedModelError: An operator has no int8 form, or the graph is not float.
        ImageDataError: There is no input.
    """
    start = replace(options or QuantizationOptions(), ranges="min-max", rounding="nearest")
    start = replace(start, equalization="off", detection_ranges=False)
    seen, held_back = _split(inputs)
    meter = OutputMeter(graph, held_back, start.outputs)
    search = _Search(graph, seen, meter, start, progress, threads)
    for alternatives in _STEPS:
        search.step([change for change in alternatives if _applies(change, start)])
    result = quantize_graph(graph, inputs, search.best, progress, threads)
    findings = [*result.findings, _told(search, len(seen), len(held_back))]
    return replace(result, findings=findings, trials=tuple(search.trials))


class _Search:
    """The best options so far, and what was tried on the way."""

    def __init__(
        self,
        graph: Graph,
        seen: list[Array],
        meter: OutputMeter,
        start: QuantizationOptions,
        progress: Progress,
        threads: int,
    ) -> None:
        self.graph, self.seen, self.meter = graph, seen, meter
        self.progress, self.threads = progress, threads
        self.best = start
        self.least = self.decibels = self._measure(start)
        self.trials = [Trial("plain", self.decibels, kept=True)]

    def step(self, alternatives: list[dict[str, Any]]) -> None:
        """Try some alternatives to the best options so far, and keep the best of them if it helps."""
        measured = [(self._measure(replace(self.best, **change)), change) for change in alternatives]
        if not measured:
            return
        top, winner = max(measured, key=lambda pair: pair[0])
        helps = top > self.decibels + _LEAST_GAIN_DB
        for decibels, change in measured:
            trial = Trial(_name(change), decibels, kept=helps and change is winner)
            self.trials.append(trial)
            self.progress.note(f"{trial.name}: {decibels:.1f} dB{', kept' if trial.kept else ''}")
        if helps:
            self.best, self.decibels = replace(self.best, **winner), top

    def _measure(self, options: QuantizationOptions) -> float:
        fed_with_floats = replace(options, input_type="float")
        return self.meter.decibels(
            quantize_graph(self.graph, self.seen, fed_with_floats, threads=self.threads).graph
        )


def _split(inputs: Iterable[Array]) -> tuple[list[Array], list[Array]]:
    """Images to calibrate with, and others to measure with; a single image has to do for both."""
    images = list(islice(inputs, _LOOKED_AT))
    if not images:
        raise ImageDataError("There is no image to calibrate with.", hint="Give a folder with --images.")
    if len(images) == 1:
        return images, images
    every = min(_HOLD_BACK_EVERY, len(images))
    held_back = images[every - 1 :: every]
    return list(_without(images, held_back)), held_back


def _without(images: list[Array], others: list[Array]) -> Iterator[Array]:
    taken = {id(image) for image in others}
    return (image for image in images if id(image) not in taken)


def _applies(change: dict[str, Any], options: QuantizationOptions) -> bool:
    return "detection_ranges" not in change or options.outputs is not None


def _name(change: dict[str, Any]) -> str:
    ((field, value),) = change.items()
    words = field.replace("_", " ")
    return words if value is True else f"{words}: {value}"


def _told(search: _Search, seen: int, held_back: int) -> Finding:
    kept = [trial.name for trial in search.trials[1:] if trial.kept]
    return Finding(
        "quantization-chosen",
        "info",
        f"Of {len(search.trials) - 1} methods tried, these brought the outputs closer to the float model's: "
        f"{', '.join(kept) or 'none'}. Calibrated on {seen} images, judged on {held_back} held back.",
        measured=f"{search.decibels:.1f} dB, plain quantization {search.least:.1f} dB",
        evidence="measured on the CPU interpreter",
    )
