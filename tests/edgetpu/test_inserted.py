"""Constants that the compiler adds, as they were found in compiled models."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu import inserted
from coralsmith.edgetpu.inserted import flattened_remainder, inserted_bytes, loaded_tensors
from coralsmith.graph.model import Op
from tests.builders import activation
from tests.edgetpu.layers import conv, flatten


def bounds(op: Op) -> tuple[int, int]:
    size = inserted_bytes(op, set())
    assert size.wasted == size.inserted == size.low
    return size.low, size.high


@pytest.mark.parametrize(
    ("op", "remainder"),
    [
        (flatten(6, 6, 114), 114),
        (flatten(6, 6, 164), None),
        (flatten(57, 57, 1), 1),
        (flatten(1, 1, 1001), None),
        (Op("RESHAPE", [activation("in", (1, 19, 19, 273))], [activation("out", (1, 1083, 91))]), None),
    ],
)
def test_a_flatten_of_an_odd_map_is_recognised(op: Op, remainder: int | None) -> None:
    assert flattened_remainder(op) == remainder


def test_a_small_map_is_flattened_by_one_matrix() -> None:
    assert bounds(flatten(3, 3, 1)) == (640, 640)  # 16 rows of 9 * 4 inputs and a bias


def test_a_large_map_is_flattened_512_values_at_a_time() -> None:
    low, high = bounds(flatten(6, 6, 114))
    assert low <= 2_130_432 <= high < 1.01 * low  # what lies between the layers of the compiled model


def test_the_matrices_of_a_flatten_stand_in_the_compiled_model(shared) -> None:
    folder = shared / "edgetpu" / "pairs" / "jorgi__model_size_channel82_quant"
    (package,) = read_compiled(folder / "model_edgetpu.tflite").packages
    caching = package.executable("PARAMETER_CACHING")
    assert caching is not None
    blob = np.frombuffer(caching.parameters, np.uint8)
    before = 5_632 + 2 * 97_792 + 134_656  # the four convolutions in front
    matrices = blob[before : before + 2_130_432]
    assert np.count_nonzero(matrices) == np.count_nonzero(matrices == 1) == 6 * 6 * 114


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_a_map_that_no_chip_could_hold_is_in_a_band_about_its_matrices(monkeypatch, channels: int) -> None:
    op = flatten(512, 511, channels)
    matrices = bounds(op)
    monkeypatch.setattr(inserted, "_MOST_VALUES", 1)
    low, high = bounds(op)
    assert low <= matrices[0] <= matrices[1] <= high < 5 * low


@pytest.mark.parametrize("op", [flatten(6, 6, 64), flatten(1, 1, 1001)])
def test_no_matrix_where_the_values_lie_densely(op: Op) -> None:
    assert bounds(op) == (0, 0)


def test_a_map_of_one_channel_and_whole_tiles_shares_one_matrix() -> None:
    assert bounds(flatten(64, 64, 1)) == (1_088, 1_088)


def test_an_input_is_flattened_while_it_is_loaded() -> None:
    op = flatten(57, 57, 1)
    assert inserted_bytes(op, loaded_tensors([op])).high == 0
    quantize = Op("QUANTIZE", [activation("image", (1, 57, 57, 1), np.uint8)], [op.inputs[0]])
    assert inserted_bytes(op, loaded_tensors([quantize, op])).high == 0
    computed = conv((1, 3, 3, 1), size=57)
    op.inputs[0] = computed.output
    assert inserted_bytes(op, loaded_tensors([computed, op])).low > 4_000_000


@pytest.mark.parametrize(("classes", "high"), [(10, 640), (1001, 48_256), (12, 0), (4096, 0)])
def test_a_softmax_may_bring_masks_for_the_last_four_classes(classes: int, high: int) -> None:
    op = Op("SOFTMAX", [activation("in", (1, classes))], [activation("out", (1, classes))])
    assert bounds(op) == (0, high)


def concatenation(*shapes: tuple[int, ...], axis: int) -> Op:
    output = list(shapes[0])
    output[axis] = sum(shape[axis] for shape in shapes)
    inputs = [activation(f"in_{number}", shape) for number, shape in enumerate(shapes)]
    return Op("CONCATENATION", inputs, [activation("out", tuple(output))], {"axis": axis})


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (concatenation((1, 1), (1, 1), axis=-1), (192, 192)),
        (concatenation((1, 4), (1, 8), axis=1), (0, 0)),
        (concatenation((1, 1083, 91), (1, 600, 91), axis=1), (0, 0)),
        (concatenation((1, 8, 8, 3), (1, 8, 8, 5), axis=3), (0, 16 * (12 + 4))),
    ],
)
def test_values_side_by_side_are_moved_together(op: Op, expected: tuple[int, int]) -> None:
    assert bounds(op) == expected


def test_other_operators_bring_nothing() -> None:
    assert bounds(conv((8, 1, 1, 3))) == (0, 0)
