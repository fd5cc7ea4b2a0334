"""Layers are packed to the very bytes of published compiled models, and come back out of them unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled.package import read_compiled
from coralsmith.compiled.packed_layer import PackedLayer, has_known_packing, packed_layer
from coralsmith.compiled.packing import LayerParameters, PackingError, layer_parameters, pack, unpack
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.reader import read_tflite
from tests.builders import CONVOLUTION, activation, constant

# Layers of each pair, and the bytes of its blob that belong to none: tables for softmax and reshape.
PAIRS = {
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant": (59, 0),
    "gcedgetpu__mobilenet_v1_0.25_128_quant": (28, 0),
    "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant": (53, 0),
    "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant": (53, 0),
    "gcedgetpu__mobilenet_v2_1.0_224_quant": (53, 0),
    "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder": (31, 0),
    "jorgi__N100-nMACs379699200_quant": (2, 0),
    "jorgi__N32-nMACs41287680_quant": (2, 0),
    "jorgi__firstTest_quant": (6, 576),
    "jorgi__model_size_channel32_quant": (5, 576),
    "jorgi__model_size_channel82_quant": (5, 2_131_008),
    "libredge__bright_64x64": (2, 192),
    "libredge__color_blue_64x64": (3, 1_280),
    "libredge__color_green_64x64": (3, 1_280),
    "libredge__color_red_64x64": (3, 1_280),
    "libredge__dense_1024": (1, 0),
    "libredge__dense_256": (1, 0),
}


def reference_multipliers(op: Op) -> np.ndarray:
    """The compiler's formula, step by step in float32."""
    product = np.float32(op.inputs[0].quant.scale) * op.inputs[1].quant.scale
    return product * (np.float32(1) / op.output.quant.scale)


def orders(layer: PackedLayer) -> list[PackedLayer]:
    """The orders of taps and channels that a compiler was seen to choose."""
    blocks = layer.channel_blocks
    return [replace(layer, blocks_together=f) for f in dict.fromkeys((blocks, 1, 2)) if blocks % f == 0]


def found_layers(graph: Graph, blob: bytes, min_runtime: int) -> Iterator[tuple[Op, PackedLayer, int]]:
    """Each layer, its form and where its bytes lie in the blob: behind the last one, else anywhere, else at -1."""
    readers, end = graph.consumers(), 0
    for op in filter(has_known_packing, graph.ops):
        form = packed_layer(op, readers, min_runtime)
        found = ((layer, place_of(op, layer, blob, end)) for layer in orders(form))
        layer, start = next((one for one in found if one[1] >= 0), (form, -1))
        end = start + layer.size
        yield op, layer, start


def place_of(op: Op, layer: PackedLayer, blob: bytes, end: int) -> int:
    content = pack(layer, layer_parameters(op, layer, reference_multipliers(op)))
    behind = blob.find(content, end)
    return behind if behind >= 0 else blob.find(content)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_layer_of_a_pair_has_the_compilers_bytes_and_comes_back_out_of_them(shared, pair):
    folder = shared / "edgetpu" / "pairs" / pair
    (package,) = read_compiled(folder / "model_edgetpu.tflite").packages
    blob = bytes(package.executable("PARAMETER_CACHING").parameters)
    found = list(found_layers(read_tflite(folder / "model.tflite"), blob, package.min_runtime))
    assert (len(found), len(blob) - sum(layer.size for _, layer, _ in found)) == PAIRS[pair]
    for op, layer, start in found:
        assert start >= 0
        expected = layer_parameters(op, layer, reference_multipliers(op))
        unpacked = unpack(layer, blob[start : start + layer.size], expected.weight_zero_point)
        assert np.array_equal(unpacked.weights, expected.weights)
        assert np.array_equal(unpacked.bias, expected.bias)


def test_the_layers_of_an_ssd_tile_both_its_segments_without_a_gap(shared):
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    packages = [read_compiled(path).packages[0] for path in sorted(folder.glob("*_edgetpu.tflite"))]
    blob = b"".join(bytes(package.executable("PARAMETER_CACHING").parameters) for package in packages)
    found = list(found_layers(read_tflite(folder / "source_rebuilt.tflite"), blob, packages[0].min_runtime))
    assert len(found) == 72
    end = 0
    for _, layer, start in sorted(found, key=lambda entry: entry[2]):
        assert start == end
        end += layer.size
    assert end == len(blob)


channels = st.integers(1, 140)
flags = st.booleans()


@st.composite
def layers(draw) -> PackedLayer:
    """Every form a layer may have, small enough to be packed at once."""
    flags_drawn = {"per_channel": draw(flags), "has_bias": draw(flags)}
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    if draw(flags):
        rows, columns = tuple(range(height)), tuple(range(width))
        shape = (1, height, width, draw(channels))
        return PackedLayer(shape, depthwise=True, kept_rows=rows, kept_columns=columns, **flags_drawn)
    if draw(flags):
        return PackedLayer((draw(channels), draw(channels)), **flags_drawn)
    classes = draw(st.integers(1, 30))
    outputs = classes * draw(st.integers(1, 4))
    kept = [tuple(sorted(draw(st.sets(st.integers(0, size - 1), min_size=1)))) for size in (height, width)]
    form = PackedLayer(
        (outputs, height, width, draw(channels)),
        kept_rows=kept[0],
        kept_columns=kept[1],
        classes=draw(st.sampled_from([None, classes])),
        **flags_drawn,
    )
    divisors = [f for f in range(1, form.channel_blocks + 1) if form.channel_blocks % f == 0]
    return replace(form, blocks_together=draw(st.sampled_from(divisors)))


def random_parameters(layer: PackedLayer, seed: int) -> LayerParameters:
    random = np.random.default_rng(seed)
    zero_point = int(random.integers(256))
    weights = np.full(layer.filter_shape, zero_point, np.uint8)
    kernel = weights.reshape(-1, *(layer.filter_shape[1:-1] or (1, 1)), layer.filter_shape[-1])
    stored = np.ix_(range(kernel.shape[0]), layer.kept_rows, layer.kept_columns, range(kernel.shape[3]))
    kernel[stored] = random.integers(256, size=kernel[stored].shape)
    limits = np.iinfo(np.int32)
    return LayerParameters(
        weights,
        zero_point,
        random.integers(limits.min, limits.max, layer.outputs, np.int32) if layer.has_bias else None,
        random.random(layer.outputs, np.float32) if layer.per_channel else None,
    )


@given(layer=layers(), seed=st.integers(0, 99))
def test_what_was_packed_is_unpacked_unchanged(layer, seed):
    parameters = random_parameters(layer, seed)
    content = pack(layer, parameters)
    assert len(content) == layer.size
    unpacked = unpack(layer, content, None if layer.per_channel else parameters.weight_zero_point)
    assert np.array_equal(unpacked.weights, parameters.weights)
    assert unpacked.weight_zero_point == parameters.weight_zero_point
    for name in ("bias", "multipliers"):
        expected, found = getattr(parameters, name), getattr(unpacked, name)
        assert (expected is None) == (found is None)
        assert expected is None or (np.array_equal(found, expected) and found.dtype == expected.dtype)


def test_small_layers_by_hand():
    weights = np.arange(2, 5, dtype=np.uint8).reshape(1, 3)
    dense = pack(PackedLayer((1, 3)), LayerParameters(weights, 9, np.array([-2], np.int32)))
    row, near, beyond = bytes([2, 3, 4, 9]), bytes([9] * 4), bytes(4)
    assert dense == b"\xfe\xff\xff\xff" + bytes(60) + row + 3 * near + 12 * beyond
    depthwise = PackedLayer((1, 1, 1, 3), depthwise=True, has_bias=False)
    diagonal = bytes([2, 9, 9, 9, 9, 3, 9, 9, 9, 9, 4, 9, 9, 9, 9, 9])
    assert pack(depthwise, LayerParameters(weights.reshape(1, 1, 1, 3), 9)) == diagonal


@pytest.mark.parametrize(
    ("outputs", "beyond"), [(65, 1.0), (62, 0.0)], ids=["more than one group", "less than one group"]
)
def test_multipliers_of_rows_that_do_not_exist(outputs, beyond):
    layer = PackedLayer((outputs, 4), per_channel=True, has_bias=False)
    content = pack(layer, random_parameters(layer, 0))
    header = np.frombuffer(content, np.float32)[: layer.size // 4]
    start = (layer.groups - 1) * layer.group_bytes // 4
    real = outputs - (layer.groups - 1) * layer.group
    assert set(header[start + -(-real // 4) * 4 : start + layer.group].tolist()) <= {beyond}
    assert header[start + real] == header[0]


@given(layer=layers(), seed=st.integers(0, 9), data=st.data())
def test_damage_of_padding_is_noticed_and_damage_of_a_value_is_that_value(layer, seed, data):
    content = bytearray(pack(layer, random_parameters(layer, seed)))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    try:
        unpacked = unpack(layer, bytes(content), random_parameters(layer, seed).weight_zero_point)
    except PackingError:
        return
    assert pack(layer, unpacked) == content


@pytest.mark.parametrize("length", [0, 1, 127, 129])
def test_bytes_of_another_length_are_refused(length):
    with pytest.raises(PackingError, match="bytes where the layer has 128"):
        unpack(PackedLayer((16, 4)), bytes(length), 0)


def test_per_tensor_weights_need_the_zero_point_of_the_instructions():
    with pytest.raises(PackingError, match="zero point"):
        unpack(PackedLayer((16, 4)), bytes(128))


def test_no_layer_has_an_order_that_does_not_divide_its_blocks():
    with pytest.raises(ValueError, match="3 at a time"):
        PackedLayer((16, 16), blocks_together=3)


def convolution(size: int, *, kernel: int = 3, stride: int = 1, kind: str = "CONV_2D", **attributes: int) -> Op:
    """A SAME convolution on a square map."""
    options = CONVOLUTION | {"stride_w": stride, "stride_h": stride} | attributes
    weights = constant("weights", np.zeros((4, kernel, kernel, 4), np.uint8))
    source, output = (
        activation("in", (1, size, size, 4)),
        activation(
            "out",
            (
                1,
                -(-size // stride),
            )
            * 2
            + (4,),
        ),
    )
    output.shape = (1, -(-size // stride), -(-size // stride), 4)
    return Op(kind, [source, weights, constant("bias", np.ones(4, np.int32))], [output], options)


@pytest.mark.parametrize(
    ("size", "stride", "kept"), [(1, 1, (1,)), (2, 2, (0, 1)), (3, 2, (0, 1, 2)), (2, 1, (0, 1, 2))]
)
def test_taps_that_see_padding_only_are_not_stored(size, stride, kept):
    layer = packed_layer(convolution(size, stride=stride), {}, 14)
    assert layer.kept_rows == layer.kept_columns == kept


def test_an_all_zero_bias_is_stored_for_old_runtimes_only():
    op = convolution(4)
    op.inputs[2] = constant("bias", np.zeros(4, np.int32))
    assert packed_layer(op, {}, 10).has_bias and not packed_layer(op, {}, 12).has_bias


def test_what_is_packed_in_a_way_nobody_knows_is_said_to_be_so():
    assert has_known_packing(convolution(4))
    assert not has_known_packing(convolution(4, kind="DEPTHWISE_CONV_2D", depth_multiplier=4))
    assert not has_known_packing(convolution(4, kind="TRANSPOSE_CONV"))
