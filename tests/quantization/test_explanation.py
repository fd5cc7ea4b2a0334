"""What int8 does to coordinates, classes and tensors, against changes that were made on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.detection.decode import decode_boxes, sigmoid
from coralsmith.detection.feeding import model_input
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor
from coralsmith.quantization.explanation import CONFIDENT, Explanation, explain
from coralsmith.quantization.fidelity import measure_fidelity
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.repair.driver import repair
from tests.tiny_detector import SIDE, tiny_detector, tiny_head

HEAD = tiny_head()


def inputs(count: int = 3) -> list[Array]:
    generators = (np.random.default_rng(seed) for seed in range(count))
    return [HEAD.input.normalise(g.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)) for g in generators]


def changed(column: int, shift: float, part: str = "boxes", columns: int = 4) -> Graph:
    """The detector with one column of a head shifted, as a float graph that stands for the int8 one."""
    other = tiny_detector()
    for tensor in other.tensors():
        if tensor.name.startswith(f"{part}_") and tensor.name.endswith("/bias") and tensor.data is not None:
            bias = tensor.data.copy()
            bias[column::columns] += np.float32(shift)
            tensor.data = bias
    return other


def explained(other: Graph) -> Explanation:
    reference = tiny_detector()
    pairs = [(image, image) for image in inputs()]
    return explain(reference, other, HEAD, pairs, measure_fidelity(reference, other, pairs))


def heads() -> list[tuple[Array, Array]]:
    executor = Executor(tiny_detector())
    runs = [executor.run(image) for image in inputs()]
    return [(boxes[0], scores[0]) for boxes, scores in runs]


def test_the_same_model_differs_in_nothing() -> None:
    result = explained(tiny_detector())
    assert result.anchors > 0
    assert all(coordinate.mean == coordinate.worst == 0 for coordinate in result.coordinates)
    assert all(error.mean == error.shift == 0 for error in result.classes)


def test_a_shift_of_the_y_centre_is_found_there_and_nowhere_else() -> None:
    """The coder moves the centre by a tenth of the raw number times the anchor's height."""
    by_name = {coordinate.name: coordinate for coordinate in explained(changed(0, 0.5)).coordinates}
    expected = []
    for boxes, scores in heads():
        rows = sigmoid(scores).max(axis=1) >= CONFIDENT
        decoded = decode_boxes(boxes, HEAD.anchors, HEAD.box_coder)[rows]
        expected.append(0.05 * HEAD.anchors[rows, 2] / (decoded[:, 2] - decoded[:, 0]))
    assert by_name["y centre"].mean == pytest.approx(np.concatenate(expected).mean(), rel=1e-3)
    assert by_name["y centre"].worst == pytest.approx(np.concatenate(expected).max(), rel=1e-3)
    assert by_name["x centre"].worst < 1e-5 and by_name["height"].worst < 1e-5


def test_a_larger_width_is_found_as_such() -> None:
    """A raw width that is larger by 5 ln 1.1 makes the box wider by a tenth."""
    by_name = {coordinate.name: coordinate for coordinate in explained(changed(3, 5 * np.log(1.1))).coordinates}
    assert by_name["width"].mean == pytest.approx(0.1, rel=1e-3)
    assert by_name["height"].worst < 1e-5


def test_a_class_that_fades_has_a_negative_shift() -> None:
    by_class = {error.class_id: error for error in explained(changed(1, -0.7, "scores", 2)).classes}
    expected = []
    for _, scores in heads():
        probabilities = sigmoid(scores)
        rows = (probabilities.argmax(axis=1) == 1) & (probabilities.max(axis=1) >= CONFIDENT)
        expected.append((sigmoid(scores - 0.7) - probabilities)[rows, 1])
    assert by_class[1].anchors == len(np.concatenate(expected))
    assert by_class[1].shift == pytest.approx(np.concatenate(expected).mean(), rel=1e-3)
    assert by_class[1].mean == pytest.approx(-by_class[1].shift) and by_class[0].shift == 0


def test_histograms_show_the_noisiest_tensors_and_what_int8_holds_of_them() -> None:
    source = repair(tiny_detector(), "exact", inputs=[[inputs(1)[0]]]).graph
    quantized = quantize_graph(source, inputs()).graph
    pixels = [np.random.default_rng(seed).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for seed in range(3)]
    pairs = [(HEAD.input.normalise(p), model_input(quantized.inputs[0], p, HEAD.input)) for p in pixels]
    fidelity = measure_fidelity(source, quantized, pairs)
    result = explain(source, quantized, HEAD, pairs, fidelity)
    worst = min(error.sqnr_db for _, error in fidelity.layers)
    assert result.tensors[0].sqnr_db == worst
    assert [tensor.sqnr_db for tensor in result.tensors] == sorted(tensor.sqnr_db for tensor in result.tensors)
    for tensor in result.tensors:
        shape = next(t.shape for t in source.tensors() if t.name == tensor.name)
        assert sum(tensor.counts) == 3 * np.prod(shape)
        assert tensor.held_low <= 0 <= tensor.held_high
        assert tensor.clipped == 0  # these images are those it was calibrated with


def test_values_outside_of_the_scale_count_as_clipped() -> None:
    source = repair(tiny_detector(), "exact", inputs=[[inputs(1)[0]]]).graph
    quantized = quantize_graph(source, [image * 0.2 for image in inputs()]).graph
    pixels = [np.random.default_rng(seed).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for seed in range(3)]
    pairs = [(HEAD.input.normalise(p), model_input(quantized.inputs[0], p, HEAD.input)) for p in pixels]
    result = explain(source, quantized, HEAD, pairs, measure_fidelity(source, quantized, pairs))
    assert max(tensor.clipped for tensor in result.tensors) > 0.05


def test_without_a_head_only_tensors_are_shown() -> None:
    source = repair(tiny_detector(), "exact", inputs=[[inputs(1)[0]]]).graph
    quantized = quantize_graph(source, inputs()).graph
    pixels = [np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)]
    samples = [(HEAD.input.normalise(p), model_input(quantized.inputs[0], p, HEAD.input)) for p in pixels]
    result = explain(source, quantized, None, samples, measure_fidelity(source, quantized, samples))
    assert (result.anchors, result.coordinates, result.classes) == (0, (), ()) and result.tensors
