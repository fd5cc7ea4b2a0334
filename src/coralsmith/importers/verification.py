"""Proves an import: the graph must compute what the source computes, on the same inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.postprocess_op import find_postprocess_op
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Graph, Tensor
from coralsmith.graph.executor import Executor, as_real
from coralsmith.importers.imported import OutputDifference, Verification
from coralsmith.importers.samples import Samples

# Float kernels of two frameworks differ by rounding only: 2e-5 of the range was the worst measured.
EXACT_TOLERANCE: Final = 1e-3


def verify_import(
    graph: Graph,
    samples: Samples,
    *,
    reference: str,
    real_images: bool,
    tolerance: float = EXACT_TOLERANCE,
    head: DetectionHead | None = None,
) -> Verification:
    """Run the graph on what the source was fed, and compare.

    Args:
        graph: The imported graph.
        samples: What the source computes, its outputs by the graph's output names.
        reference: The program that ran the source.
        real_images: Whether the samples are pictures of the caller's.
        tolerance: Worst difference allowed, in parts of an output's range.
        head: The head recovered from a source that decodes; its decoding is compared too.

    Returns:
        The differences, all within the tolerance.

    Raises:
        UnsupportedModelError: A difference above the tolerance, or outputs that are no numbers.
    """
    executor = Executor(graph)
    runs = [executor.run(image) for image in samples.inputs]
    found = {tensor.name: np.stack(values) for tensor, *values in zip(graph.outputs, *runs, strict=True)}
    found, samples = _used_rows(graph, found), replace(samples, outputs=_used_rows(graph, samples.outputs))
    outputs = tuple(_difference(tensor, found[tensor.name], samples) for tensor in graph.outputs)
    detections: tuple[OutputDifference, ...] = ()
    if head is not None and samples.detections:
        detections = tuple(_decoded_differences(found, head, samples))
    return Verification(reference, len(samples.inputs), real_images, tolerance, outputs, detections).checked()


def verify_decoding(
    graph: Graph, head: DetectionHead, samples: Samples, *, clipped: bool = False
) -> tuple[OutputDifference, ...]:
    """What a head makes of a graph's raw outputs, against `samples.detections`, the source's own decoding.

    Args:
        graph: The graph with raw heads.
        head: Its head.
        samples: What the source makes of the same pictures.
        clipped: Whether the source clips its boxes to the image; those of the head are then, too.
    """
    executor = Executor(graph)
    runs = [executor.run(image) for image in samples.inputs]
    found = {tensor.name: np.stack(values) for tensor, *values in zip(graph.outputs, *runs, strict=True)}
    return tuple(_decoded_differences(found, head, samples, clipped=clipped))


def _used_rows(graph: Graph, outputs: dict[str, Array]) -> dict[str, Array]:
    """The outputs with zeros in the rows that TFLite_Detection_PostProcess leaves unwritten, behind its count."""
    op = find_postprocess_op(graph)
    if op is None or not {tensor.name for tensor in op.outputs} <= outputs.keys():
        return outputs
    *rows, count = (tensor.name for tensor in op.outputs)
    used = {name: values.copy() for name, values in outputs.items()}
    for picture, number in enumerate(used[count].reshape(len(used[count]))):
        for name in rows:
            used[name][picture, :, int(number) :] = 0
    return used


def _difference(tensor: Tensor, found: Array, samples: Samples) -> OutputDifference:
    if tensor.name not in samples.outputs:
        raise UnsupportedModelError(f"The source has no output called '{tensor.name}'.")
    return measure(tensor.name, as_real(tensor, found), as_real(tensor, samples.outputs[tensor.name]))


def measure(name: str, found: Array, expected: Array) -> OutputDifference:
    """The worst difference of two arrays, and the range of the expected one.

    Raises:
        UnsupportedModelError: The shapes differ, or there are values that are no numbers.
    """
    if found.shape != expected.shape:
        raise UnsupportedModelError(
            f"Output '{name}' has the shape {list(found.shape)}, in the source {list(expected.shape)}."
        )
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise UnsupportedModelError(
            f"Output '{name}' holds values that are no finite numbers.",
            hint="The weights are damaged, or were not saved with the model.",
        )
    distance = np.abs(found.astype(np.float64) - expected)
    return OutputDifference(name, float(distance.max()), float(expected.min()), float(expected.max()))


def _decoded_differences(
    found: dict[str, Array], head: DetectionHead, samples: Samples, *, clipped: bool = False
) -> list[OutputDifference]:
    """What the head makes of the graph's raw outputs, against the source's own decoding."""
    anchors, columns = len(head.anchors), head.score_columns
    boxes = [decode_boxes(raw.reshape(anchors, 4), head.anchors, head.box_coder) for raw in found[head.boxes]]
    scores = [class_probabilities(raw.reshape(anchors, columns), head.score) for raw in found[head.scores]]
    decoded = np.stack(boxes)
    return [
        measure("decoded boxes", decoded.clip(0.0, 1.0) if clipped else decoded, samples.detections["boxes"]),
        measure("class probabilities", np.stack(scores), samples.detections["scores"]),
    ]
