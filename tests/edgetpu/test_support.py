"""What decides over one operator when several things speak against it; the rules themselves: tests/compat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coralsmith.edgetpu.conditions import QUANTITIES
from coralsmith.edgetpu.rules import evidence_text, rule, rule_book
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.edgetpu.support import supported
from coralsmith.graph.model import Op, Tensor
from tests.builders import CONVOLUTION, activation, constant
from tests.compat.operator_graphs import OPERATOR_GRAPHS, QUANT, lstm, value


def single(kind: str, source: Tensor, output: Tensor, *more: Tensor, **attributes: Any) -> Op:
    return Op(kind, [source, *more], [output], attributes)


def computed(*shape: int) -> Tensor:
    return activation("computed", shape, np.int32)


def test_the_data_type_is_named_before_the_kind_as_the_compiler_does():
    cast = single("CAST", activation("in", (1, 4), np.uint8), activation("out", (1, 4)))
    assert supported(cast).rule.id == "unsupported-data-type"


def test_a_kind_of_the_cpu_brings_its_own_advice_whatever_rule_decides():
    indices = single("ARG_MAX", value(1, 4), activation("out", (1,), np.int64), constant("axis", 1, np.int32))
    verdict = supported(indices)
    assert (verdict.rule.id, verdict.measured) == ("unsupported-data-type", "ARG_MAX int64")
    assert verdict.fix == rule_book().operators["ARG_MAX"].fix
    leaky = supported(single("LEAKY_RELU", value(1, 4), value(1, 4)))
    assert leaky.fix == "coralsmith convert rewrites it exactly."
    assert leaky.evidence == evidence_text(rule_book().operators["LEAKY_RELU"].evidence)


def test_a_tensor_other_than_the_output_is_named():
    verdict = supported(single("ADD", activation("counts", (1, 4), np.int32), value(1, 4), value(1, 4)))
    assert verdict.measured == "ADD int32 (counts)"


def test_what_is_certain_decides_before_what_is_not():
    # Unknown kind, but a batch of two is refused for every kind.
    verdict = supported(single("SPLIT_V", value(2, 8), value(2, 2, 2, 2)))
    assert (verdict.supported, verdict.rule.id) == (False, "tensor-rank")


def test_an_older_runtime_is_uncertain_where_its_column_is_from_memory():
    prelu = OPERATOR_GRAPHS["PRELU"](np.uint8).ops[-1]
    verdict = supported(prelu, 12)
    assert (verdict.supported, verdict.evidence) == (None, "from memory")
    assert supported(OPERATOR_GRAPHS["SUM"](np.uint8).ops[-1], 12).supported is False


def test_the_runtime_of_compiled_models_settles_quantize_from_12_on():
    quantize = OPERATOR_GRAPHS["QUANTIZE"](np.int8).ops[-1]
    assert supported(quantize, 12).status == MAPPED


def test_float_values_can_be_judged_as_what_quantization_makes_of_them():
    op = single("CONV_2D", activation("in", (1, 8, 8, 3)), activation("out", (1, 8, 8, 4)),
                constant("w", np.ones((4, 3, 3, 3)), np.float32), **CONVOLUTION)  # fmt: skip
    assert supported(op).supported is False
    assert supported(op, as_if_quantized=True).status == MAPPED
    activation_op = single("HARD_SWISH", activation("in", (1, 4)), activation("out", (1, 4)))
    assert supported(activation_op, as_if_quantized=True).rule.id == "operation-not-supported"
    indices = single("ARG_MAX", activation("in", (1, 4)), activation("out", (1,), np.int64), computed(1))
    assert supported(indices, as_if_quantized=True).rule.id == "unsupported-data-type"


def test_recurrent_state_of_16_bits_is_no_obstacle():
    assert supported(lstm().ops[-1]).supported is True


@pytest.mark.parametrize(
    "op",
    [
        single("MEAN", value(1, 8, 8, 6), value(1, 6), constant("axis", [], np.int32)),
        single("SOFTMAX", value(), value()),
        single("RESHAPE", value(), value(1), constant("shape", [1], np.int32)),
        single("TILE", value(), value(), constant("multiples", [], np.int32)),
        single("UNIDIRECTIONAL_SEQUENCE_LSTM", value(), value()),
        single("PAD", value(), value(), constant("paddings", np.zeros((0, 2)), np.int32)),
        single("FULLY_CONNECTED", value(), value(), constant("weights", np.ones((1, 1)), np.int8, QUANT)),
        single("RESIZE_BILINEAR", value(1, 4), value(1, 4), constant("size", [4, 4], np.int32)),
        single("RESIZE_BILINEAR", value(1, 0, 0, 4), value(1, 4, 4, 4), constant("size", [4, 4], np.int32)),
    ],
    ids=lambda op: op.kind,
)
def test_degenerate_shapes_get_a_verdict_and_no_crash(op):
    for runtime in (10, 13, 14):
        assert supported(op, runtime).supported in (True, False, None)


@pytest.mark.parametrize(
    ("before", "after", "is_head"),
    [
        ((1, 19, 19, 273), (1, 1083, 91), True),
        ((1, 19, 19, 12), (1, 1083, 1, 4), True),
        ((1, 1, 1, 546), (1, 6, 91), True),
        ((1, 6, 6, 114), (1, 4104), False),
        ((1, 19, 19, 273), (1, 361, 3, 91), False),
        ((1, 1083, 91), (1, 361, 273), False),
    ],
)
def test_a_detectors_head_is_recognised_by_its_reshape(before, after, is_head):
    op = single("RESHAPE", value(*before), value(*after), constant("shape", after, np.int32))
    assert bool(QUANTITIES["head-reshape-size"](op)) is is_head
    assert bool(QUANTITIES["reshape-size"](op)) is not is_head


def test_a_rule_of_older_runtimes_says_so():
    assert rule("mean-axes-runtime").before_runtime == 14
