from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.postprocess_op import attach_postprocess_op
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor
from coralsmith.importers.samples import Samples
from coralsmith.importers.verification import verify_import
from tests.builders import activation, constant, conv_graph, graph, op


def samples_of(source: Graph, *, error: float = 0.0) -> Samples:
    """What a program would compute that agrees with the graph but for an error in one value."""
    inputs = np.random.default_rng(1).standard_normal((3, *source.inputs[0].shape)).astype(np.float32)
    outputs = np.stack([Executor(source).run(image)[0] for image in inputs])
    outputs.flat[5] += error
    return Samples(inputs, {source.outputs[0].name: outputs})


def test_the_worst_difference_is_measured_over_all_pictures() -> None:
    source = conv_graph()
    samples = samples_of(source, error=1e-4)
    result = verify_import(source, samples, reference="the other", real_images=True)
    assert result.passed
    assert result.images == 3
    assert result.worst_difference == pytest.approx(1e-4, rel=0.02)
    assert result.output_range == pytest.approx(np.ptp(samples.outputs["conv"]))
    assert result.to_json()["outputs"][0]["name"] == "conv"


def test_a_difference_above_the_tolerance_is_an_error_that_names_the_output() -> None:
    source = conv_graph()
    with pytest.raises(UnsupportedModelError, match=r"'conv' differs by 0\.5"):
        verify_import(source, samples_of(source, error=0.5), reference="the other", real_images=True)


def test_outputs_are_matched_by_name_not_by_position() -> None:
    image = activation("image", (1, 4))
    doubled, tripled = (
        op("MUL", [image, constant(n, [f], np.float32)], n) for n, f in (("double", 2), ("triple", 3))
    )
    source = graph([doubled, tripled], [image], [tripled.output, doubled.output])
    inputs = np.ones((1, 1, 4), np.float32)
    samples = Samples(inputs, {"double": inputs * 2, "triple": inputs * 3})
    assert verify_import(source, samples, reference="numpy", real_images=False).worst_difference == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error(bad: float) -> None:
    source = conv_graph()
    with pytest.raises(UnsupportedModelError, match="no finite numbers"):
        verify_import(source, samples_of(source, error=bad), reference="the other", real_images=True)


@pytest.mark.parametrize(("first_spoilt_row", "counts"), [(3, False), (2, True)])
def test_rows_behind_the_count_of_the_postprocess_operator_do_not_count(
    first_spoilt_row: int, counts: bool
) -> None:
    """The operator leaves the rows behind its count as they were; here it finds 3 detections and has 5 rows."""
    source, head, _ = detector()
    full = attach_postprocess_op(source, replace(head, score=ScoreSpec("none", 0), nms=NmsSpec(0.5, 0.0, 5)))
    image = np.random.default_rng(3).uniform(0, 1, source.inputs[0].shape).astype(np.float32)
    boxes, classes, scores, count = Executor(full).run(image)
    assert count == 3
    for rows in (boxes, classes, scores):
        rows[:, first_spoilt_row:] = 7
    values = zip(full.outputs, (boxes, classes, scores, count), strict=True)
    samples = Samples(image[None], {tensor.name: value[None] for tensor, value in values})
    with pytest.raises(UnsupportedModelError) if counts else contextlib.nullcontext():
        verify_import(full, samples, reference="LiteRT", real_images=False)


def detector() -> tuple[Graph, DetectionHead, Samples]:
    """A head over a graph that hands its input on, and the source's own decoding of it."""
    image = activation("image", (1, 1, 7, 3))
    flat = op("RESHAPE", [image, constant("shape", [1, 3, 7], np.int32)], "raw")
    raw = flat.output
    begin, columns = constant("begin", [0, 0, 0], np.int32), constant("columns", [1, 3, 4], np.int32)
    rest, four = constant("rest", [1, 3, 3], np.int32), constant("four", [0, 0, 4], np.int32)
    boxes, scores = op("SLICE", [raw, begin, columns], "boxes"), op("SLICE", [raw, four, rest], "scores")
    anchors = np.array([[0.2, 0.3, 0.2, 0.1], [0.5, 0.5, 0.4, 0.4], [0.7, 0.6, 0.1, 0.3]], np.float32)
    head = DetectionHead(
        InputSpec((1, 7), 1.0, 0.0), "boxes", "scores", anchors, ("a", "b"), score=ScoreSpec("sigmoid", 0)
    )
    values = np.random.default_rng(2).standard_normal((2, 1, 3, 7)).astype(np.float32)
    detections = {
        "boxes": np.stack([decode_boxes(v[0, :, :4], anchors, head.box_coder) for v in values]),
        "scores": np.stack([class_probabilities(v[0, :, 4:], head.score) for v in values]),
    }
    samples = Samples(
        values.reshape(2, 1, 1, 7, 3), {"boxes": values[..., :4], "scores": values[..., 4:]}, detections
    )
    return graph([flat, boxes, scores], [image], [boxes.output, scores.output]), head, samples


def test_the_recovered_head_must_decode_as_the_source_does() -> None:
    source, head, samples = detector()
    result = verify_import(source, samples, reference="TF", real_images=True, head=head)
    assert [difference.name for difference in result.detections] == ["decoded boxes", "class probabilities"]
    assert result.worst_difference < 1e-6
    samples.detections["boxes"] += 0.01
    with pytest.raises(UnsupportedModelError, match="decoded boxes"):
        verify_import(source, samples, reference="TF", real_images=True, head=head)
