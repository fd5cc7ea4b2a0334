"""Operator versions: the lowest with the semantics, as TensorFlow's own converter counts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Attribute, Graph, Op, Quant, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.version_rules import RULES
from coralsmith.graph.versions import COMPILER_LIMITS, legal_version, lowest_version
from tests.builders import activation, constant
from tests.conftest import SHARED

FLOAT, HALF, INT8, UINT8, INT16 = np.float32, np.float16, np.int8, np.uint8, np.int16
INT32, INT64, BOOL = np.int32, np.int64, np.bool_
PER_TENSOR = Quant.per_tensor(0.5, 0)
PER_CHANNEL = Quant(np.full(4, 0.5, np.float32), np.zeros(4, np.int64), 0)


def operator(
    kind: str, *dtypes: Any, output: Any = None, shape: tuple[int, ...] = (1, 4, 4, 4), **options: Attribute
) -> Op:
    """An operator whose inputs have these element types and one shape; the output has that of the first."""
    inputs = [Tensor(f"input{i}", shape, np.dtype(dtype), quant=PER_TENSOR) for i, dtype in enumerate(dtypes)]
    return Op(
        kind,
        list(inputs),
        [Tensor("output", shape, np.dtype(output or dtypes[0]), quant=PER_TENSOR)],
        dict(options),
    )


def weighted(kind: str, data: Any, weights: Any, quant: Quant = PER_TENSOR, **options: Attribute) -> Op:
    """An operator with a filter of four outputs."""
    shape = (4, 4) if kind == "FULLY_CONNECTED" else (4, 1, 1, 4)
    source = activation("input", (1, 4, 4, 4), data, PER_TENSOR)
    filters = constant("weights", np.ones(shape), weights, quant)
    return Op(kind, [source, filters, None], [activation("output", (1, 4, 4, 4), data, PER_TENSOR)], dict(options))


def scaled_product(output_scale: float) -> Op:
    product = operator("MUL", INT8, INT8)
    product.output.quant = Quant.per_tensor(output_scale, 0)
    return product


def without_scales(op: Op) -> Op:
    for tensor in (*op.inputs, *op.outputs):
        tensor.quant = None
    return op


WIDE = (1, 1, 2, 2, 2)
CASES: list[tuple[Op, int]] = [
    (weighted("CONV_2D", FLOAT, FLOAT), 1),
    (weighted("CONV_2D", UINT8, UINT8), 1),
    (weighted("CONV_2D", INT8, INT8, PER_CHANNEL), 3),
    (weighted("CONV_2D", INT8, INT8, quantized_bias_type=2), 3),
    (weighted("CONV_2D", FLOAT, INT8), 2),
    (weighted("CONV_2D", FLOAT, INT8, PER_CHANNEL), 5),
    (weighted("CONV_2D", INT16, INT8), 4),
    (weighted("CONV_2D", INT16, INT8, quantized_bias_type=2), 8),
    (weighted("DEPTHWISE_CONV_2D", FLOAT, FLOAT), 1),
    (weighted("DEPTHWISE_CONV_2D", FLOAT, FLOAT, dilation_w_factor=2, dilation_h_factor=1), 2),
    (weighted("DEPTHWISE_CONV_2D", INT8, INT8, dilation_w_factor=2, dilation_h_factor=2), 3),
    (weighted("DEPTHWISE_CONV_2D", FLOAT, INT8), 4),
    (weighted("DEPTHWISE_CONV_2D", FLOAT, INT8, PER_CHANNEL), 6),
    (weighted("FULLY_CONNECTED", FLOAT, FLOAT), 1),
    (weighted("FULLY_CONNECTED", FLOAT, FLOAT, weights_format="SHUFFLED4x16INT8"), 2),
    (weighted("FULLY_CONNECTED", FLOAT, INT8), 3),
    (weighted("FULLY_CONNECTED", INT8, INT8), 4),
    (weighted("FULLY_CONNECTED", INT8, INT8, keep_num_dims=True), 5),
    (weighted("FULLY_CONNECTED", FLOAT, INT8, asymmetric_quantize_inputs=True), 9),
    (weighted("FULLY_CONNECTED", FLOAT, INT8, PER_CHANNEL), 12),
    (operator("TRANSPOSE_CONV", INT32, INT8, INT8), 2),
    (operator("TRANSPOSE_CONV", INT32, FLOAT, FLOAT), 1),
    (operator("TRANSPOSE_CONV", INT32, FLOAT, FLOAT, FLOAT), 3),
    (operator("TRANSPOSE_CONV", INT32, FLOAT, FLOAT, fused_activation_function="RELU"), 4),
    (scaled_product(1.0), 2),
    (scaled_product(0.25), 3),
    (without_scales(operator("MUL", FLOAT, FLOAT)), 1),
    (without_scales(operator("MUL", INT64, INT64)), 5),
    (operator("ADD", INT8, INT8), 2),
    (operator("ADD", INT16, INT16), 1),
    (operator("ADD", INT16, INT16, pot_scale_int16=False), 3),
    (operator("ADD", INT64, INT64), 4),
    (without_scales(operator("ADD", INT16, INT16)), 5),
    (operator("SUB", INT8, INT8), 2),
    (operator("QUANTIZE", FLOAT, output=INT8), 1),
    (operator("QUANTIZE", FLOAT, output=INT16), 2),
    (operator("DEQUANTIZE", INT8, output=FLOAT), 2),
    (operator("DEQUANTIZE", UINT8, output=FLOAT), 1),
    (operator("DEQUANTIZE", HALF, output=FLOAT), 3),
    (operator("CAST", UINT8, output=FLOAT), 1),
    (operator("CAST", INT8, output=FLOAT), 3),
    (operator("CAST", FLOAT, output=HALF), 5),
    (operator("STRIDED_SLICE", INT8, INT32, INT32, INT32), 2),
    (operator("STRIDED_SLICE", FLOAT, INT32, INT32, INT32, shape=WIDE), 4),
    (operator("STRIDED_SLICE", FLOAT, INT32, INT32, INT32, ellipsis_mask=1), 6),
    (operator("STRIDED_SLICE", FLOAT, INT32, INT32, INT32, new_axis_mask=1), 6),
    (operator("STRIDED_SLICE", FLOAT, INT32, INT32, INT32, offset=True), 8),
    (operator("RESIZE_BILINEAR", INT8, INT32), 2),
    (operator("RESIZE_BILINEAR", FLOAT, INT32, half_pixel_centers=True), 3),
    (operator("RESIZE_BILINEAR", FLOAT, INT32, align_corners=True), 1),
    (operator("RESIZE_NEAREST_NEIGHBOR", FLOAT, INT32, align_corners=True), 3),
    (operator("TRANSPOSE", FLOAT, INT32, shape=WIDE), 4),
    (operator("TRANSPOSE", FLOAT, INT32, shape=(1, *WIDE)), 6),
    (operator("SPLIT", INT32, INT8), 2),
    (operator("SPLIT", INT32, FLOAT), 1),
    (operator("GATHER", FLOAT, INT32, batch_dims=1), 5),
    (operator("PAD", INT8, INT32), 2),
    (operator("PAD", FLOAT, INT32, shape=WIDE), 4),
    (operator("TILE", INT8, INT32), 3),
    (operator("UNPACK", UINT8), 2),
    (operator("RELU", UINT8), 2),
    (operator("RELU_N1_TO_1", INT8), 1),
    (operator("SUM", INT16, INT32), 1),
    (operator("SUM", INT8, INT32), 2),
    (operator("MEAN", INT16, INT32), 3),
    (operator("SQUARED_DIFFERENCE", INT8, INT8), 2),
    (operator("MAXIMUM", INT8, INT8), 2),
    (operator("L2_NORMALIZATION", INT8), 2),
    (operator("LEAKY_RELU", INT8), 1),
    (operator("HARD_SWISH", INT8), 1),
    (operator("PRELU", INT8, INT8), 1),
    (operator("EXP", INT8), 2),
    (operator("ABS", INT8), 2),
    (operator("ARG_MAX", INT8, INT32), 2),
    (operator("SPACE_TO_BATCH_ND", INT8, INT32, INT32), 2),
    (operator("BROADCAST_TO", FLOAT, INT32), 2),
    (operator("RESHAPE", INT8, INT32), 1),
]


@pytest.mark.parametrize(
    ("op", "version"), CASES, ids=lambda value: value.kind if isinstance(value, Op) else str(value)
)
def test_the_lowest_version_is_that_of_the_converter(op, version):
    """Numbers by hand from TensorFlow's op_version.cc."""
    assert lowest_version(op) == version


REFUSED: dict[str, tuple[Op, str]] = {
    "grouped convolution": (operator("CONV_2D", FLOAT, FLOAT), "groups"),
    "dynamic range convolution": (weighted("CONV_2D", FLOAT, INT8, PER_CHANNEL), "dynamic range"),
    "dynamic range depthwise": (weighted("DEPTHWISE_CONV_2D", FLOAT, INT8, PER_CHANNEL), "dynamic range"),
    "dynamic range dense": (weighted("FULLY_CONNECTED", FLOAT, INT8, PER_CHANNEL), "dynamic range"),
    "fused transposed convolution": (
        operator("TRANSPOSE_CONV", INT32, FLOAT, FLOAT, fused_activation_function="RELU"),
        "a fused activation",
    ),
    "six dimensions": (operator("TRANSPOSE", FLOAT, INT32, shape=(1, *WIDE)), "more than five dimensions"),
    "int8 exponential": (operator("EXP", INT8), "int8 or int16 values"),
    "int8 logarithm": (operator("LOG", INT8), "int8 or int16 values"),
    "offsets": (operator("STRIDED_SLICE", FLOAT, INT32, INT32, INT32, offset=True), "offset"),
    "half precision cast": (operator("CAST", FLOAT, output=HALF), "float16 or float64 values"),
}
REFUSED["grouped convolution"][0].inputs[1].shape = (4, 1, 1, 2)


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_a_newer_version_is_refused_by_the_name_of_its_option(case):
    op, option = REFUSED[case]
    with pytest.raises(UnsupportedModelError) as caught:
        legal_version(op)
    assert option in caught.value.message
    assert option in caught.value.hint


def test_an_operator_that_the_compiler_does_not_know_is_refused():
    with pytest.raises(UnsupportedModelError, match="reads no version"):
        legal_version(operator("GELU", FLOAT))


def test_every_limit_states_its_evidence():
    assert all(limit.evidence for limit in COMPILER_LIMITS.values())


def test_rules_stand_in_the_order_of_the_source_not_of_their_versions():
    assert [rule.version for rule in RULES["CONV_2D"]] == [8, 6, 4, 3, 5, 2]


ELEMENTWISE = sorted(
    {"RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ABS", "EXP", "LOG", "RSQRT"}
)
FIXED = {"LOGISTIC": Quant.per_tensor(1 / 256, -128), "TANH": Quant.per_tensor(1 / 128, 0)}


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_the_interpreter_knows_the_versions_that_are_written(kind):
    """A version above those it has registered would be refused."""
    source = activation("input", (1, 4), INT8, Quant.per_tensor(1 / 256, -128))
    output = activation("output", (1, 4), INT8, FIXED.get(kind, source.quant))
    executor = Executor(Graph([Op(kind, [source], [output])], [source], [output]))
    executor.run(np.full((1, 4), 5, np.int8))


WRITTEN_BY_HAND = "libredge__gabor_64x64_p4"
MODELS = sorted(path for path in SHARED.rglob("*.tflite") if "_edgetpu" not in path.name)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_real_model_is_written_with_a_newer_version_than_it_had(path):
    """Converters write at least the lowest version; a rule that gives more asks for more than there is."""
    if path.parent.name == WRITTEN_BY_HAND:
        pytest.skip("its author wrote version 1 for operators of int8")
    assert all(lowest_version(op) <= op.version for op in read_tflite(path).ops if op.kind != "CUSTOM")
