"""Every operator's torch form computes what its float kernel computes, and differs for another operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.quantization.rules import FIXED_OUTPUT, FREE_SCALE, SAME_SCALE, WEIGHTED
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant

pytestmark = pytest.mark.slow

WIDE = (1, 7, 6, 4)
POOL = {"padding": "SAME", "stride_w": 2, "stride_h": 2, "filter_width": 3, "filter_height": 2}
PLAIN = {"fused_activation_function": "NONE"}
Case = tuple[str, Callable[[Tensor], Op]]


def one(kind: str, *others: Any, **attributes: Any) -> Callable[[Tensor], Op]:
    return lambda data: op(kind, [data, *others], "result", **attributes)


def conv(kind: str, shape: tuple[int, ...], **attributes: Any) -> Callable[[Tensor], Op]:
    bias = random_constant("bias", (shape[3] if kind == "DEPTHWISE_CONV_2D" else shape[0],), 3)
    return one(kind, random_constant("weights", shape, 2), bias, **{**CONVOLUTION, **attributes})


def transpose_conv(size: tuple[int, ...], shape: tuple[int, ...], **attributes: Any) -> Callable[[Tensor], Op]:
    target, weights = constant("size", size, np.int32), random_constant("weights", shape, 2)
    return lambda data: op("TRANSPOSE_CONV", [target, weights, data], "result", **attributes)


def integers(*values: Any) -> Tensor:
    return constant(f"integers{values}", values, np.int32)


def strided(begin: tuple[int, ...], end: tuple[int, ...], strides: tuple[int, ...], **masks: int) -> Any:
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    attributes: dict[str, Any] = {name: masks.get(name, 0) for name in names}
    return one("STRIDED_SLICE", integers(*begin), integers(*end), integers(*strides), **attributes, offset=False)


def resize(kind: str, **attributes: bool) -> Callable[[Tensor], Op]:
    given = {"align_corners": False, "half_pixel_centers": False, **attributes}
    return one(kind, integers(11, 5), **given)


def pair(kind: str, **attributes: Any) -> Callable[[Tensor], Op]:
    return one(kind, random_constant("other", (1, 7, 1, 4), 5, 1.0), **attributes)


CASES: list[Case] = [
    ("convolution", conv("CONV_2D", (5, 3, 3, 4))),
    (
        "convolution, stride",
        conv("CONV_2D", (5, 3, 3, 4), stride_h=2, stride_w=2, fused_activation_function="RELU6"),
    ),
    (
        "convolution, valid",
        conv("CONV_2D", (5, 3, 2, 4), padding="VALID", fused_activation_function="RELU_N1_TO_1"),
    ),
    ("convolution, dilated", conv("CONV_2D", (5, 3, 3, 4), dilation_h_factor=2, dilation_w_factor=2)),
    ("convolution, groups", conv("CONV_2D", (6, 3, 3, 2))),
    ("depthwise", conv("DEPTHWISE_CONV_2D", (1, 3, 3, 4), depth_multiplier=1, stride_h=2, stride_w=2)),
    ("depthwise, multiplied", conv("DEPTHWISE_CONV_2D", (1, 3, 3, 8), depth_multiplier=2)),
    ("transposed, same", transpose_conv((1, 14, 12, 3), (3, 3, 3, 4), padding="SAME", stride_h=2, stride_w=2)),
    ("transposed, valid", transpose_conv((1, 15, 13, 3), (3, 3, 3, 4), padding="VALID", stride_h=2, stride_w=2)),
    ("transposed, small", transpose_conv((1, 14, 12, 3), (3, 1, 1, 4), padding="SAME", stride_h=2, stride_w=2)),
    ("sum", pair("ADD", fused_activation_function="RELU")),
    ("difference", pair("SUB", **PLAIN)),
    ("product", pair("MUL", **PLAIN)),
    ("squared difference", pair("SQUARED_DIFFERENCE")),
    ("maximum", pair("MAXIMUM")),
    ("minimum", pair("MINIMUM")),
    ("relu", one("RELU")),
    ("relu6", one("RELU6")),
    ("relu n1 to 1", one("RELU_N1_TO_1")),
    ("leaky relu", one("LEAKY_RELU", alpha=0.2)),
    ("prelu", one("PRELU", random_constant("alpha", (1, 1, 4), 5))),
    ("hard swish", one("HARD_SWISH")),
    ("logistic", one("LOGISTIC")),
    ("tanh", one("TANH")),
    ("softmax", one("SOFTMAX", beta=1.5)),
    ("log softmax", one("LOG_SOFTMAX")),
    ("normalised", one("L2_NORMALIZATION", **PLAIN)),
    ("mean", one("MEAN", integers(1, 2), keep_dims=False)),
    ("mean, kept", one("MEAN", integers(1, 2), keep_dims=True)),
    ("sum over", one("SUM", integers(-1), keep_dims=False)),
    ("greatest", one("REDUCE_MAX", integers(2), keep_dims=False)),
    ("least", one("REDUCE_MIN", integers(1), keep_dims=True)),
    ("average pool", one("AVERAGE_POOL_2D", **POOL, **PLAIN)),
    ("average pool, valid", one("AVERAGE_POOL_2D", **{**POOL, "padding": "VALID"}, **PLAIN)),
    ("max pool", one("MAX_POOL_2D", **POOL, **PLAIN)),
    ("bilinear", resize("RESIZE_BILINEAR")),
    ("bilinear, corners", resize("RESIZE_BILINEAR", align_corners=True)),
    ("bilinear, half pixels", resize("RESIZE_BILINEAR", half_pixel_centers=True)),
    ("nearest", resize("RESIZE_NEAREST_NEIGHBOR")),
    ("nearest, corners", resize("RESIZE_NEAREST_NEIGHBOR", align_corners=True)),
    ("nearest, half pixels", resize("RESIZE_NEAREST_NEIGHBOR", half_pixel_centers=True)),
    ("reshape", one("RESHAPE", integers(1, 42, 4))),
    ("squeeze", one("SQUEEZE", squeeze_dims=())),
    ("expand", one("EXPAND_DIMS", constant("axis", 2, np.int32))),
    ("transpose", one("TRANSPOSE", integers(0, 3, 1, 2))),
    ("pad", one("PAD", integers((0, 0), (1, 2), (0, 1), (3, 0)))),
    ("pad with a value", one("PADV2", integers((0, 0), (1, 0), (0, 0), (0, 0)), constant("v", 0.5, np.float32))),
    ("mirror", one("MIRROR_PAD", integers((0, 0), (2, 1), (1, 2), (0, 0)), mode="REFLECT")),
    ("mirror, symmetric", one("MIRROR_PAD", integers((0, 0), (2, 1), (1, 2), (0, 0)), mode="SYMMETRIC")),
    ("slice", one("SLICE", integers(0, 2, 1, 0), integers(1, 3, -1, 2))),
    ("strided slice", strided((0, 1, 0, 3), (1, 7, 5, 0), (1, 2, 1, -1))),
    ("strided slice, masks", strided((0, 0, 2, 0), (0, 0, 0, 2), (1, 1, 1, 1), begin_mask=3, end_mask=7)),
    ("strided slice, shrunk", strided((0, 3), (0, 4), (1, 1), begin_mask=1, end_mask=1, shrink_axis_mask=2)),
    ("strided slice, ellipsis", strided((0, 1), (0, 3), (1, 1), ellipsis_mask=1)),
    ("strided slice, new", strided((0, 0, 1), (0, 0, 3), (1, 1, 1), end_mask=1, begin_mask=1, new_axis_mask=2)),
    ("gather", one("GATHER", integers(3, 0, 0), axis=3, batch_dims=0)),
    ("tile", one("TILE", integers(1, 2, 1, 3))),
    ("join", one("CONCATENATION", random_constant("more", (1, 7, 6, 2)), axis=3, **PLAIN)),
    ("stack", one("PACK", random_constant("more", WIDE), axis=1, values_count=2)),
    ("depth to space", one("DEPTH_TO_SPACE", block_size=2)),
]

EVEN_CASES: list[Case] = [
    ("space to depth", one("SPACE_TO_DEPTH", block_size=2)),
    ("space to batch", one("SPACE_TO_BATCH_ND", integers(2, 3), integers((1, 1), (0, 0)))),
]

SEVERAL_OUTPUTS: dict[str, tuple[list[Any], dict[str, Any], list[tuple[int, ...]]]] = {
    "SPLIT": ([constant("axis", 3, np.int32), None], {"num_splits": 2}, [(1, 7, 6, 2)] * 2),
    "SPLIT_V": (
        [None, integers(1, 3), constant("axis", 3, np.int32)],
        {"num_splits": 2},
        [(1, 7, 6, 1), (1, 7, 6, 3)],
    ),
    "UNPACK": ([None], {"num": 4, "axis": 3}, [(1, 7, 6)] * 4),
}


def disagreement(model: Graph, seed: int = 0) -> float:
    import torch

    from coralsmith.tuning.network import FloatNetwork

    data = np.random.default_rng(seed).normal(0, 2, model.inputs[0].shape).astype(np.float32)
    expected = Executor(model).run(data)
    names = [tensor.name for tensor in model.outputs]
    found = FloatNetwork(model).run(torch.from_numpy(data), names)
    shapes = [tuple(found[name].shape) for name in names]
    assert shapes == [value.shape for value in expected]
    return max(
        float(np.abs(found[name].numpy() - value).max()) for name, value in zip(names, expected, strict=True)
    )


@pytest.mark.parametrize(("shape", "build"), [(WIDE, case[1]) for case in CASES], ids=[case[0] for case in CASES])
def test_it_computes_what_the_kernel_computes(shape: tuple[int, ...], build: Callable[[Tensor], Op]) -> None:
    source = activation("input", shape)
    assert disagreement(graph([build(source)], [source])) < 2e-5


@pytest.mark.parametrize("build", [case[1] for case in EVEN_CASES], ids=[case[0] for case in EVEN_CASES])
def test_blocks_of_pixels(build: Callable[[Tensor], Op]) -> None:
    source = activation("input", (1, 4, 6, 2))
    assert disagreement(graph([build(source)], [source])) == 0.0


def test_batches_to_space() -> None:
    source = activation("input", (6, 3, 2, 2))
    built = op("BATCH_TO_SPACE_ND", [source, integers(2, 3), integers((1, 0), (2, 1))], "result")
    assert disagreement(graph([built], [source])) == 0.0


@pytest.mark.parametrize("kind", SEVERAL_OUTPUTS)
def test_operators_with_several_outputs(kind: str) -> None:
    inputs, attributes, shapes = SEVERAL_OUTPUTS[kind]
    source = activation("input", WIDE)
    outputs = [activation(f"part{i}", shape) for i, shape in enumerate(shapes)]
    split = Op(kind, [source if tensor is None else tensor for tensor in inputs], outputs, attributes)
    assert disagreement(graph([split], [source], outputs)) == 0.0


@pytest.mark.parametrize("keep", [False, True])
def test_dense_layers(keep: bool) -> None:
    source = activation("input", (1, 6, 4))
    inputs = [source, random_constant("weights", (3, 4)), random_constant("bias", (3,))]
    dense = op("FULLY_CONNECTED", inputs, "result", keep_num_dims=keep, **PLAIN)
    assert disagreement(graph([dense], [source])) < 2e-5


def test_the_reciprocal_root() -> None:
    source = activation("input", WIDE)
    square = op("MUL", [source, source], "square", **PLAIN)
    positive = op("ADD", [square.output, constant("one", [1.0], np.float32)], "positive", **PLAIN)
    assert disagreement(graph([square, positive, op("RSQRT", [positive.output], "result")], [source])) < 2e-5


def test_every_operator_that_can_be_quantized_has_a_torch_form() -> None:
    from coralsmith.tuning.operators import FUNCTIONS

    assert {*WEIGHTED, *SAME_SCALE, *FREE_SCALE, *FIXED_OUTPUT} <= set(FUNCTIONS)


def test_an_operator_without_a_torch_form_is_named() -> None:
    from coralsmith.tuning.network import FloatNetwork

    source = activation("input", WIDE)
    with pytest.raises(UnsupportedModelError, match="FLOOR 'result' cannot be trained"):
        FloatNetwork(graph([op("FLOOR", [source], "result")], [source]))
