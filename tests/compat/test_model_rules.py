"""One model on each side of every rule about a model as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from coralsmith.compat import check_graph
from coralsmith.compat.model_rules import model_findings
from coralsmith.edgetpu.rules import rule_book
from coralsmith.graph.model import FileFacts, Graph, Op, Quant, Tensor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import serialize
from tests.builders import activation, constant
from tests.compat.models import chain, int8


def graph_of(*ops: Op, facts: FileFacts | None = None) -> Graph:
    made = {tensor for op in ops for tensor in op.outputs}
    inputs = [t for op in ops for t in op.inputs if t is not None and not t.is_constant and t not in made]
    return Graph(list(ops), inputs, [ops[-1].output], facts or FileFacts())


def relu(**facts) -> Graph:
    return graph_of(Op("RELU", [int8("in", 1, 8)], [int8("out", 1, 8)]), facts=FileFacts(**facts))


def custom(code: str) -> Graph:
    return graph_of(Op("CUSTOM", [int8("in", 1, 8)], [int8("out", 1, 8)], custom_code=code))


def of_kind(kind: str) -> Graph:
    return graph_of(Op(kind, [int8("in", 1, 8)], [int8("out", 1, 8)]))


def reshape(shape: Tensor) -> Graph:
    return graph_of(Op("RESHAPE", [int8("in", 1, 8), shape], [int8("out", 1, 8)]))


def signature(*sizes: int) -> Graph:
    source = int8("in", 1, 8, 8, 3)
    source.shape_signature = sizes if -1 in sizes else None
    return graph_of(Op("RELU", [source], [int8("out", 1, 8, 8, 3)]))


def dense(version: int = 4, *, bias: Tensor | None = None, scales: int = 1) -> Graph:
    quant = Quant(np.full(scales, 0.25, np.float32), np.zeros(scales, np.int64))
    weights = constant("weights", np.ones((4, 8), np.int8), quant=quant)
    op = Op("FULLY_CONNECTED", [int8("in", 1, 8), weights, bias], [int8("out", 1, 4)], version=version)
    return graph_of(op)


def bias(dtype=np.int32, scale: float = 0.125) -> Tensor:
    return constant("bias", np.ones(4, dtype), quant=Quant.per_tensor(scale, 0))


def padded(reader: str) -> Graph:
    padding = constant("paddings", [[0, 0], [1, 1]], np.int32)
    middle = int8("middle", 1, 10)
    return graph_of(
        Op("PAD", [int8("in", 1, 8), padding], [middle]), Op(reader, [middle, middle], [int8("out", 1, 10)])
    )


def unread() -> Graph:
    """A model with an operator whose result nobody reads."""
    graph = relu()
    graph.ops.append(Op("LOGISTIC", [graph.inputs[0]], [int8("unread", 1, 8)]))
    return graph


def rectified_sum(scale: float) -> Graph:
    """A sum whose bound of 6 is this many steps of its scale."""
    values = [activation(name, (1, 8), np.int8, Quant.per_tensor(scale, 0)) for name in ("in", "in2", "out")]
    return graph_of(Op("ADD", values[:2], values[2:], {"fused_activation_function": "RELU6"}))


def without_outputs_of_8_bits() -> Graph:
    return graph_of(Op("RELU", [activation("in", (1, 8))], [activation("out", (1, 8))]))


CASES = [
    ("unknown-custom-operator", custom("TFLite_Detection_PostProcess"), custom("Atan")),
    ("operator-too-new", of_kind("HARD_SWISH"), of_kind("GELU")),
    ("dynamic-shape", reshape(constant("shape", [1, 8], np.int32)), reshape(activation("shape", (2,), np.int32))),
    ("pad-before-add", padded("MUL"), padded("ADD")),
    ("external-constants", relu(), relu(external_constants=120)),
    ("several-subgraphs", relu(subgraphs=1), relu(subgraphs=2)),
    ("old-operator-code", relu(), relu(old_code_missing=("QUANTIZE",))),
    ("shape-signature", signature(1, 8, 8, 3), signature(-1, 8, 8, 3)),
    ("free-image-size", signature(-1, 8, 8, 3), signature(-1, -1, -1, 3)),
    ("operation-version-unreadable", dense(9), dense(12)),
    ("bias-type", dense(bias=bias()), dense(bias=bias(np.int16))),
    ("bias-scale", dense(bias=bias(scale=0.125)), dense(bias=bias(scale=0.13))),
    ("per-channel-dense", dense(scales=1), dense(scales=4)),
    ("unused-operator", relu(), unread()),
    ("activation-overflow", rectified_sum(6 / 2**31 * 1.01), rectified_sum(6 / 2**31 * 0.99)),
]

# Rules that follow from the verdicts on single operators.
CASES_OF_THE_WHOLE = [
    ("small-first-partition", chain("RELU", "RELU", "ELU", "RELU"), chain("RELU", "ELU", "RELU", "RELU")),
    ("all-partitions", chain("RELU", "ELU"), chain("RELU", "ELU", "RELU")),
    ("nothing-mapped", chain("ELU", "RELU"), chain("ELU", "ELU")),
    ("not-quantized", relu(), without_outputs_of_8_bits()),
    ("assumed-quantized", relu(), without_outputs_of_8_bits()),
]


def rules(graph: Graph) -> set[str]:
    return {finding.rule for finding in model_findings(graph, as_file=True)}


@pytest.mark.parametrize(("rule", "keeps", "breaks"), CASES, ids=[case[0] for case in CASES])
def test_each_side_of_the_rule(rule, keeps, breaks):
    assert rule not in rules(keeps)
    (finding,) = [found for found in model_findings(breaks, as_file=True) if found.rule == rule]
    assert finding.severity == rule_book().rules[rule].severity


@pytest.mark.parametrize(("rule", "keeps", "breaks"), CASES_OF_THE_WHOLE, ids=[c[0] for c in CASES_OF_THE_WHOLE])
def test_each_side_of_a_rule_about_the_whole(rule, keeps, breaks):
    assert rule not in {finding.rule for finding in check_graph(keeps).findings}
    report = check_graph(breaks)
    (finding,) = [found for found in report.findings if found.rule == rule]
    assert finding.severity == rule_book().rules[rule].severity
    assert report.is_refused == any(rule_book().rules[f.rule].severity == "error" for f in report.findings)


def test_every_rule_about_a_model_has_its_two_graphs():
    assert {
        case[0] for case in (*CASES, *CASES_OF_THE_WHOLE)
    } == rule_book().model_rules - rule_book().memory_rules


@pytest.mark.parametrize("steps", [0.99, 1.01])
def test_the_bound_of_an_activation_overflows_where_the_interpreter_says_so(steps):
    graph = rectified_sum(6 / 2**31 * steps)
    arguments = {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
    interpreter = Interpreter(model_content=serialize(graph), **arguments)
    if "activation-overflow" in rules(graph):
        with pytest.raises(RuntimeError, match="no_integer_overflow_from_quantization was not true"):
            interpreter.allocate_tensors()
    else:
        interpreter.allocate_tensors()


def test_what_writing_the_model_anew_cures_is_not_said_of_one_that_will_be_quantized():
    bad_file = relu(external_constants=3, subgraphs=2, old_code_missing=("QUANTIZE",))
    assert rules(bad_file) and not model_findings(bad_file, as_file=False)
    assert model_findings(reshape(activation("shape", (2,), np.int32)), as_file=False)


def test_no_real_source_of_a_compiled_model_is_refused(shared):
    for path in sorted((shared / "edgetpu" / "pairs").glob("*/model.tflite")):
        graph = read_tflite(path)
        errors = [f for f in model_findings(graph, as_file=True) if f.severity == "error"]
        assert errors == []
        assert "bias-scale" not in rules(graph)


def test_a_tensor_with_a_scale_of_zero_is_no_division_by_zero():
    graph = dense(bias=bias(scale=0.0))
    assert "bias-scale" in rules(graph)
