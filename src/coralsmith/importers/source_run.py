"""Runs the source model itself, in its own framework, on images prepared exactly as for the imported graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.head import DetectionHead
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array
from coralsmith.importers.formats import (
    FROZEN_GRAPH,
    KERAS,
    KERAS_H5,
    ONNX,
    PYTORCH_PROGRAM,
    PYTORCH_WEIGHTS,
    SAVED_MODEL,
    TORCHSCRIPT,
)
from coralsmith.importers.framework_import import Framework, read_in_child
from coralsmith.importers.imported import ImportOptions, SourceInfo
from coralsmith.importers.samples import Samples
from coralsmith.importers.through_onnx import ONNX as ONNXRUNTIME
from coralsmith.importers.through_tensorflow import TENSORFLOW
from coralsmith.importers.through_torch import TORCH
from coralsmith.progress import SILENT, Progress

FRAMEWORKS: Final[dict[str, Framework]] = {
    KERAS: TENSORFLOW,
    KERAS_H5: TENSORFLOW,
    SAVED_MODEL: TENSORFLOW,
    FROZEN_GRAPH: TENSORFLOW,
    ONNX: ONNXRUNTIME,
    PYTORCH_PROGRAM: TORCH,
    PYTORCH_WEIGHTS: TORCH,
    TORCHSCRIPT: TORCH,
}
"""Formats that another program than LiteRT runs."""

TOGETHER: Final = 128  # images of one child process: their inputs and outputs take about 250 MB
SAME_INPUT: Final = 1e-3  # of the input's range; resizing anew or another normalisation differs far more


@dataclass(frozen=True, eq=False)
class SourceOutput:
    """What the source finds in one image: boxes [N, 4] (ymin, xmin, ymax, xmax), probabilities [N, classes]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def run_source(
    source: SourceInfo,
    options: ImportOptions,
    head: DetectionHead,
    pictures: Iterable[NDArray[np.uint8]],
    progress: Progress = SILENT,
) -> Iterator[SourceOutput]:
    """Run the source on pictures that have the model's input size already.

    It is checked that the source was fed the same numbers as the imported graph.

    Args:
        source: The model, of one of the formats in `FRAMEWORKS`.
        options: How it was imported.
        head: The head of the imported graph, its outputs named as the importer names them.
        pictures: uint8 RGB of the head's input size.
        progress: Told about the child process.

    Yields:
        One result for each picture.

    Raises:
        UnsupportedModelError: The source is fed in another way than the graph, or decodes its boxes itself in a
            way that was cut off.
        MachineError: The framework is missing or failed.
    """
    framework = FRAMEWORKS[source.format]
    waiting = iter(pictures)
    while part := list(islice(waiting, TOGETHER)):
        fed = [head.input.normalise(picture) for picture in part]
        # A frozen graph normalises by itself; everything else takes what the graph takes.
        given: Sequence[NDArray[Any]] = part if source.format == FROZEN_GRAPH else fed
        samples = read_in_child(framework, source, replace(options, images=tuple(given)), progress).samples
        _require_same(samples, fed)
        yield from _outputs(samples, head)


def _require_same(samples: Samples, fed: Sequence[Array]) -> None:
    """Hold what the source was fed against what the graph is fed."""
    expected = np.stack(fed)
    found = samples.inputs.reshape(len(samples.inputs), *samples.inputs.shape[2:])
    if found.shape != expected.shape:
        raise UnsupportedModelError(
            f"The source takes images {list(found.shape[1:])}, the graph {list(expected.shape[1:])}."
        )
    worst = float(np.abs(found.astype(np.float64) - expected).max() / np.ptp(expected))
    if worst > SAME_INPUT:
        raise UnsupportedModelError(
            f"The source prepares its images in another way than the graph (by {worst:.1%} of the input's range)."
        )


def _outputs(samples: Samples, head: DetectionHead) -> Iterator[SourceOutput]:
    if samples.detections:
        yield from map(SourceOutput, samples.detections["boxes"], samples.detections["scores"])
        return
    if not {head.boxes, head.scores} <= samples.outputs.keys():
        raise UnsupportedModelError("The source decodes its boxes itself; its raw heads cannot be read out of it.")
    for boxes, scores in zip(samples.outputs[head.boxes], samples.outputs[head.scores], strict=True):
        yield SourceOutput(
            decode_boxes(boxes.reshape(-1, 4), head.anchors, head.box_coder),
            class_probabilities(scores.reshape(len(head.anchors), -1), head.score),
        )
