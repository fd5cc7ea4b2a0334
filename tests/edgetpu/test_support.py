"""One minimal operator on each side of every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coralsmith.edgetpu.conditions import FAULTS, QUANTITIES
from coralsmith.edgetpu.rules import rule_book
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.edgetpu.support import UNKNOWN, Verdict, supported
from coralsmith.graph.model import Op, Quant, Tensor
from tests.builders import CONVOLUTION, activation, constant

QUANT = Quant.per_tensor(0.1, 0)


def int8(*shape: int, name: str = "value") -> Tensor:
    return activation(name, shape, np.int8, QUANT)


def weights(*shape: int) -> Tensor:
    return constant("weights", np.ones(shape), np.int8, QUANT)


def numbers(*values: Any) -> Tensor:
    return constant("numbers", values, np.int32)


def single(
    kind: str, source: Tensor, output: Tensor, *more: Tensor, version: int | None = None, **attributes
) -> Op:
    return Op(kind, [source, *more], [output], attributes, version=version)


def unary(kind: str, *shape: int, **attributes) -> Op:
    return single(kind, int8(*shape), int8(*shape, name="out"), **attributes)


def conv(filters: Tensor | None = None, **attributes) -> Op:
    return single("CONV_2D", int8(1, 8, 8, 4), int8(1, 8, 8, 4), filters or weights(4, 3, 3, 4), **attributes)


def dense(outputs: int = 10, *, rows: int = 1, version: int | None = None, **attributes) -> Op:
    source, output = int8(rows, 4), int8(rows, outputs)
    return single("FULLY_CONNECTED", source, output, weights(outputs, 4), version=version, **attributes)


def mean(shape: tuple[int, ...], *axes: int) -> Op:
    return single("MEAN", int8(*shape), int8(1, 1, 1, 1), numbers(*axes))


def resize(kind: str, before: int, after: int) -> Op:
    return single(kind, int8(1, before, before, 4), int8(1, after, after, 4), numbers(after, after))


def concatenation(constants: list[Tensor], inputs: int = 1, **attributes) -> Op:
    ends = [int8(1, 4) for _ in range(inputs)]
    return Op("CONCATENATION", [*ends, *constants], [int8(1, 8)], attributes)


def pad(first: int) -> Op:
    paddings = constant("paddings", [[first, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    return single("PAD", int8(1, 4, 4, 4), int8(1 + first, 6, 6, 4), paddings)


def slice_of(stride: int = 1, **attributes) -> Op:
    ends = numbers(0, 0, 0, 0), numbers(1, 8, 8, 4), numbers(1, stride, stride, 1)
    return single("STRIDED_SLICE", int8(1, 8, 8, 4), int8(1, 8 // stride, 8 // stride, 4), *ends, **attributes)


def split(axis: int) -> Op:
    return Op("SPLIT", [numbers(axis), int8(1, 8, 8, 4)], [int8(1, 8, 8, 2), int8(1, 8, 8, 2)])


def squeeze(before: tuple[int, ...], after: tuple[int, ...]) -> Op:
    return single("SQUEEZE", int8(*before), int8(*after))


def prelu(alpha: Tensor) -> Op:
    return single("PRELU", int8(1, 8, 8, 4), int8(1, 8, 8, 4), alpha)


def custom() -> Op:
    return Op(
        "CUSTOM", [int8(1, 4)], [activation("boxes", (1, 10, 4))], custom_code="TFLite_Detection_PostProcess"
    )


def converting(kind: str, source: Any, target: Any) -> Op:
    return single(kind, activation("in", (1, 8), source, QUANT), activation("out", (1, 8), target, QUANT))


OTHER_SCALE = Quant.per_tensor(0.1, 7)

# rule, an operator that keeps it, one that breaks it
CERTAIN = [
    ("custom-operator", unary("LOGISTIC", 1, 4), custom()),
    ("float-input", converting("QUANTIZE", np.uint8, np.int8), converting("QUANTIZE", np.float32, np.int8)),
    ("float-output", converting("QUANTIZE", np.int8, np.uint8), converting("DEQUANTIZE", np.int8, np.float32)),
    ("unsupported-data-type", converting("RELU", np.int8, np.int8), converting("RELU", np.float32, np.float32)),
    ("unsupported-data-type", converting("ADD", np.uint8, np.uint8), converting("ADD", np.int8, np.int64)),
    ("unsupported-data-type", conv(), single("ADD", activation("a", (1, 4), np.int32), int8(1, 4))),
    ("operation-not-supported", unary("RELU", 1, 4), unary("LEAKY_RELU", 1, 4)),
    ("operation-version", dense(version=4), dense(version=9)),
    ("operation-version", conv(version=3), conv(version=5)),
    ("tensor-rank", unary("RELU", 1, 8, 8, 4), unary("RELU", 2, 8, 8, 4)),
    ("tensor-rank", unary("RELU", 1, 1, 8, 8, 4), unary("RELU", 1, 2, 8, 8, 4)),
    ("parameter-not-constant", conv(), conv(int8(4, 3, 3, 4))),
    (
        "equal-dilation",
        conv(dilation_h_factor=2, dilation_w_factor=2),
        conv(dilation_h_factor=2, dilation_w_factor=1),
    ),
    (
        "fused-activation",
        unary("MAX_POOL_2D", 1, 8, 8, 4, fused_activation_function="NONE"),
        unary("MAX_POOL_2D", 1, 8, 8, 4, fused_activation_function="RELU6"),
    ),
    (
        "concatenated-constant",
        concatenation([constant("zeros", np.full((1, 4), 7), np.int8, OTHER_SCALE)]),
        concatenation([constant("sevens", np.full((1, 4), 7), np.int8, QUANT)]),
    ),
    (
        "concatenated-constant",
        concatenation([], inputs=3),
        concatenation([constant("zeros", np.zeros((1, 4)), np.int8, QUANT)], inputs=2),
    ),
    ("weights-format", dense(weights_format="DEFAULT"), dense(weights_format="SHUFFLED4x16INT8")),
    ("dense-output-rank", dense(rows=1), dense(rows=2)),
    ("dense-width", dense(8192), dense(100_000)),
    ("reduced-batch", mean((1, 8, 8, 4), 1, 2), mean((1, 8, 8, 4), 0, 1)),
    ("reduced-batch", mean((1, 8, 8, 4), -1), mean((1, 8, 8, 4), -4)),
    ("reduced-depth", mean((1, 8, 8, 8), 3), mean((1, 8, 8, 6), 3)),
    ("mean-area", mean((1, 64, 128, 3), 1, 2), mean((1, 256, 128, 3), 1, 2)),
    ("padded-batch", pad(0), pad(1)),
    ("resize-factor", resize("RESIZE_BILINEAR", 24, 48), resize("RESIZE_BILINEAR", 33, 513)),
    ("softmax-size", unary("SOFTMAX", 1, 16_384), unary("SOFTMAX", 1, 16_385)),
    ("softmax-rank", unary("SOFTMAX", 1, 1, 91), unary("SOFTMAX", 1, 1917, 91)),
    ("split-batch", split(3), split(0)),
    ("split-batch", unary("PACK", 1, 8, axis=1), unary("PACK", 1, 8, axis=0)),
    ("strided-slice-stride", slice_of(1), slice_of(2)),
    ("strided-slice-mask", slice_of(ellipsis_mask=0), slice_of(new_axis_mask=1)),
    ("prelu-alpha", prelu(weights(1, 1, 4)), prelu(weights(8, 8, 4))),
    ("prelu-alpha", prelu(weights(4)), prelu(int8(4))),
]

UNCERTAIN = [
    ("dense-width", dense(8192), dense(8193)),
    ("mean-area", mean((1, 7, 7, 1280), 1, 2), mean((1, 128, 128, 3), 1, 2)),
    ("resize-factor", resize("RESIZE_BILINEAR", 6, 12), resize("RESIZE_BILINEAR", 6, 18)),
    (
        "nearest-resize-factor",
        resize("RESIZE_NEAREST_NEIGHBOR", 8, 16),
        resize("RESIZE_NEAREST_NEIGHBOR", 8, 24),
    ),
    ("squeeze-layout", squeeze((1, 1, 10), (10,)), squeeze((5, 1, 10), (5, 10))),
    ("operation-version", conv(version=3), conv(version=4)),
    ("unknown-operator", unary("RELU", 1, 4), unary("CUMSUM", 1, 4)),
    ("uncertain-operator", unary("RELU", 1, 4), unary("TRANSPOSE", 1, 8, 4)),
]


def tell(verdict: Verdict) -> tuple[bool | None, str | None]:
    return verdict.supported, verdict.rule.id if verdict.rule else None


def name(case) -> str:
    return str(case) if isinstance(case, str) else case.kind


@pytest.mark.parametrize(("rule", "keeps", "breaks"), CERTAIN, ids=name)
def test_a_broken_rule_keeps_an_operator_off_the_edge_tpu(rule, keeps, breaks):
    assert tell(supported(keeps)) == (True, None)
    verdict = supported(breaks)
    assert tell(verdict) == (False, rule)
    assert verdict.status == rule_book().rules[rule].status != ""


@pytest.mark.parametrize(("rule", "keeps", "breaks"), UNCERTAIN, ids=name)
def test_between_the_known_ends_nothing_is_claimed(rule, keeps, breaks):
    assert tell(supported(keeps)) == (True, None)
    verdict = supported(breaks)
    assert tell(verdict) == (None, rule)
    assert verdict.status == UNKNOWN


@pytest.mark.parametrize(
    ("op", "runtime", "expected"),
    [
        (unary("RELU", 1, 4), 12, (True, None)),
        (unary("RELU", 1, 4), 11, (False, "int8-runtime")),
        (converting("RELU", np.uint8, np.uint8), 10, (True, None)),
        (unary("REDUCE_MAX", 1, 4), 13, (False, "operation-runtime")),
        (converting("SUM", np.uint8, np.uint8), 12, (False, "operation-runtime")),
        (unary("TRANSPOSE", 1, 4), 13, (False, "operation-runtime")),
        (prelu(weights(4)), 13, (True, None)),
        (prelu(weights(4)), 12, (None, "operation-runtime")),
    ],
)
def test_older_runtimes_take_less(op, runtime, expected):
    if op.kind in ("REDUCE_MAX", "SUM"):
        op = Op(op.kind, [*op.inputs, numbers(1)], op.outputs)
    assert tell(supported(op, runtime)) == expected


def test_every_rule_of_an_operator_is_tested_on_both_sides():
    tested = {rule for rule, _, _ in CERTAIN + UNCERTAIN}
    assert tested >= set(FAULTS) | set(QUANTITIES)


def test_the_data_type_is_named_before_the_kind_as_the_compiler_does():
    cast = single("CAST", activation("in", (1, 4), np.uint8), activation("out", (1, 4)))
    assert supported(cast).rule.id == "unsupported-data-type"


def test_float_values_can_be_judged_as_what_quantization_makes_of_them():
    op = single("CONV_2D", activation("in", (1, 8, 8, 3)), activation("out", (1, 8, 8, 4)),
                constant("w", np.ones((4, 3, 3, 3)), np.float32), **CONVOLUTION)  # fmt: skip
    assert supported(op).supported is False
    assert supported(op, as_if_quantized=True).status == MAPPED
    activation_op = single("HARD_SWISH", activation("in", (1, 4)), activation("out", (1, 4)))
    assert supported(activation_op, as_if_quantized=True).rule.id == "operation-not-supported"
    indices = single("ARG_MAX", activation("in", (1, 4)), activation("out", (1,), np.int64), numbers(1))
    assert supported(indices, as_if_quantized=True).rule.id == "unsupported-data-type"


def test_recurrent_state_of_16_bits_is_no_obstacle():
    state = activation("state", (1, 20), np.int16)
    state.is_variable = True
    op = single("UNIDIRECTIONAL_SEQUENCE_LSTM", int8(1, 28, 28), int8(1, 20), state)
    assert supported(op).supported is True
