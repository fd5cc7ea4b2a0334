"""The order of taps and channels is told by weights that resemble each other, and by padding; else by nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.compiled.packed_layer import PackedLayer, packed_layer
from coralsmith.compiled.packing import LayerParameters, layer_parameters, pack
from coralsmith.compiled.recovery.access import Access
from coralsmith.compiled.recovery.tap_order import decide_tap_order, tap_orders
from coralsmith.decompile_files import decompile
from coralsmith.graph.reader import read_tflite
from tests.compiled.recovery.recovered import (
    compiled_of,
    layers_of,
    source_of,
    ssd_source,
    uint8_weights,
)

ZERO_POINT = 128


def convolution(channels: int) -> PackedLayer:
    taps = (0, 1, 2)
    return PackedLayer((32, 3, 3, channels), kept_rows=taps, kept_columns=taps, has_bias=False)


def packed(form: PackedLayer, *, likeness: float, seed: int = 0) -> bytes:
    """A layer whose taps share a part of their values."""
    random = np.random.default_rng(seed)
    outputs, _, _, channels = form.filter_shape
    shared, own = random.normal(size=(outputs, 1, 1, channels)), random.normal(size=form.filter_shape)
    values = np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * own
    weights = np.clip(np.rint(ZERO_POINT + 30 * values), 0, 255).astype(np.uint8)
    return pack(form, LayerParameters(weights, ZERO_POINT))


@pytest.mark.parametrize("order", [1, 2, 16])
def test_taps_that_resemble_each_other_tell_the_order(order):
    form = replace(convolution(64), blocks_together=order)
    decided = decide_tap_order(convolution(64), packed(form, likeness=0.3), ZERO_POINT)
    assert decided is not None and decided[0].blocks_together == order


def test_taps_that_do_not_tell_nothing():
    form = replace(convolution(64), blocks_together=1)
    assert decide_tap_order(form, packed(form, likeness=0.0), ZERO_POINT) is None


@pytest.mark.parametrize("order", [1, 25])
def test_padded_channels_tell_the_order_even_so(order):
    form = replace(convolution(98), blocks_together=order)
    decided = decide_tap_order(convolution(98), packed(form, likeness=0.0), ZERO_POINT)
    assert decided is not None and decided[0].blocks_together == order
    assert decided[1] == "shown by padding"


def test_layers_of_one_tap_or_one_block_have_one_order():
    for form in (PackedLayer((32, 64)), replace(convolution(3), per_channel=True)):
        assert tap_orders(form) == [form]
        assert decide_tap_order(form, b"", 0) == (form, "the only order")


def test_the_weights_of_every_trained_published_layer_with_a_choice_tell_its_order(shared):
    told = list(_published(shared))
    assert len(told) == 12 and all(true == found for true, found in told)


@pytest.mark.parametrize(
    ("run", "outer", "order"), [(1, 16, 1), (16, 1, 16), (48, 121, 16), (2, 15, None), (1, 0, None)]
)
def test_the_instructions_tell_the_order_where_the_weights_do_not(run, outer, order):
    form = replace(convolution(64), blocks_together=order or 1)
    access = Access(read=0, written=0, run=run, outer=outer, is_empty=False)
    decided = decide_tap_order(convolution(64), packed(form, likeness=0.0), ZERO_POINT, access)
    assert (None if decided is None else decided[0].blocks_together) == order


def test_instructions_and_weights_that_contradict_each_other_tell_nothing():
    form = replace(convolution(64), blocks_together=1)
    access = Access(read=0, written=0, run=16, outer=1, is_empty=False)
    assert decide_tap_order(convolution(64), packed(form, likeness=0.3), ZERO_POINT, access) is None


@pytest.mark.parametrize("pair", ["jorgi__firstTest_quant", "jorgi__N100-nMACs379699200_quant"])
def test_untrained_published_layers_are_read_in_the_order_that_the_instructions_tell(shared, tmp_path, pair):
    like, compiled = source_of(shared, pair), compiled_of(shared, pair)
    result = decompile(compiled, output=tmp_path / "model.tflite", like=like)
    assert "shown by the instructions" in {operator.tap_order for operator in result.operators}
    for one, other in zip(
        layers_of(read_tflite(like)), layers_of(read_tflite(tmp_path / "model.tflite")), strict=True
    ):
        assert np.array_equal(uint8_weights(one)[0], uint8_weights(other)[0])


def _published(shared):
    """The true order of each such layer, by its source, and the one that its weights tell."""
    pair = shared / "edgetpu" / "pairs" / "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant"
    segments = sorted(ssd_source(shared).parent.glob("*_edgetpu.tflite"))
    for source, compiled in (
        (pair / "model.tflite", [pair / "model_edgetpu.tflite"]),
        (ssd_source(shared), segments),
    ):
        graph, packages = read_tflite(source), [read_compiled(path).packages[0] for path in compiled]
        blob = b"".join(bytes(package.executable("PARAMETER_CACHING").parameters) for package in packages)
        readers = graph.consumers()
        for op in layers_of(graph):
            form = packed_layer(op, readers, packages[0].min_runtime)
            if len(tap_orders(form)) == 1:
                continue
            scales = [np.float32(tensor.quant.scale) for tensor in (op.inputs[0], op.inputs[1], op.output)]
            parameters = layer_parameters(op, form, scales[0] * scales[1] * (np.float32(1) / scales[2]))
            content, true = next(
                (content, order) for order in tap_orders(form) if (content := pack(order, parameters)) in blob
            )
            decided = decide_tap_order(form, content, parameters.weight_zero_point)
            yield true.blocks_together, None if decided is None else decided[0].blocks_together
