"""The compiler names kinds and counts; the findings name the layers, where that is certain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.compiler.explain import explain_failure
from coralsmith.compiler.layers import explain_layers, locate_failures
from coralsmith.compiler.log import CompileResult, OperationCount, read_log
from coralsmith.compiler.run import compile_model
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.graph.model import Graph, Op, Quant, Tensor
from coralsmith.graph.reader import read_tflite
from tests.compiler.chains import conv_chain, convolution

STRANDED = "More than one subgraph is not supported"
LIMITED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
TYPE = "Operation is working on an unsupported data type"


def located(text: str, graph: Graph) -> list[tuple[str, str | None, str | None]]:
    findings = locate_failures(explain_failure(text), text, graph)
    return [(finding.rule, finding.op, finding.measured) for finding in findings]


def table(*rows: tuple[str, int, str]) -> CompileResult:
    return CompileResult(operations=[OperationCount(*row) for row in rows])


def tied(result: CompileResult, graph: Graph, on_cpu: list[str] | None) -> dict[str | None, str]:
    return {finding.op: finding.rule for finding in explain_layers(result, graph, on_cpu)}


# Statuses.


def test_every_operator_on_the_cpu_of_the_real_pairs_with_a_log_is_named(shared):
    checked = 0
    for folder in (shared / "edgetpu" / "pairs").iterdir():
        for log in folder.glob("*.log"):
            compiled = read_compiled(folder / "model_edgetpu.tflite")
            on_cpu = [op.name for op in compiled.cpu_ops]
            findings = explain_layers(read_log(log)[-1], read_tflite(folder / "model.tflite"), on_cpu)
            assert sorted(finding.op for finding in findings) == sorted(on_cpu)
            checked += len(findings)
    assert checked >= 4


def test_a_partial_compilation_names_the_layer_that_stays(compiler, partial_pair, behave, tmp_path):
    rows = [[row.kind, row.count, row.status] for row in read_log(next(partial_pair.glob("*.log")))[-1].operations]
    behave("success", rows=rows, output=partial_pair / "model_edgetpu.tflite")
    done = compile_model(partial_pair / "model.tflite", compiler, tmp_path / "out")
    assert done.succeeded and (done.result.mapped, done.result.unmapped) == (2, 1)
    (finding,) = done.findings
    assert (finding.op, finding.measured) == ("tfl.quantize", "QUANTIZE")


def test_stranded_operators_are_those_behind_another_on_the_cpu():
    graph = conv_chain(6)
    result = table(("CONV_2D", 3, MAPPED), ("CONV_2D", 1, LIMITED), ("CONV_2D", 2, STRANDED))
    assert tied(result, graph, ["conv_3", "conv_4", "conv_5"]) == {
        "conv_3": "unspecified-limitation",
        "conv_4": "more-than-one-subgraph",
        "conv_5": "more-than-one-subgraph",
    }


def test_where_two_layers_could_be_meant_none_is_named():
    graph = conv_chain(2)
    other = convolution(graph.ops[0].output, "beside")
    graph = Graph([*graph.ops, other], graph.inputs, [graph.ops[1].output, other.output])
    result = table(("CONV_2D", 1, MAPPED), ("CONV_2D", 1, LIMITED), ("CONV_2D", 1, TYPE))
    findings = explain_layers(result, graph, ["conv_1", "beside"])
    assert [(finding.op, finding.measured) for finding in findings] == [(None, "1 CONV_2D"), (None, "1 CONV_2D")]


def test_without_a_compiled_model_layers_are_named_only_where_all_of_a_kind_are_meant():
    graph = conv_chain(3)
    assert set(tied(table(("CONV_2D", 3, TYPE)), graph, None)) == {"conv_0", "conv_1", "conv_2"}
    assert set(tied(table(("CONV_2D", 1, MAPPED), ("CONV_2D", 2, TYPE)), graph, None)) == {None}


def test_without_the_source_the_rows_are_explained():
    findings = explain_layers(table(("CONV_2D", 3, TYPE)), None, ["conv_0"])
    assert [(finding.op, finding.measured) for finding in findings] == [(None, "3 CONV_2D")]


# Fatal messages.


@pytest.fixture
def graph() -> Graph:
    return conv_chain(3)


def test_a_refused_version_is_tied_to_the_layers_that_have_it(graph):
    for op, version in zip(graph.ops, (1, 5, 5), strict=True):
        op.version = version
    text = "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '5'. An older version\nInvalid model: m"
    assert located(text, graph) == [
        ("operation-version", "conv_1", "CONV_2D version 5"),
        ("operation-version", "conv_2", "CONV_2D version 5"),
    ]


def test_a_builtin_that_is_too_new_is_tied_to_its_layers(graph):
    graph.ops[1] = Op("GELU", graph.ops[1].inputs[:1], graph.ops[1].outputs)
    text = "ERROR: Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?"
    assert located(text, graph) == [("operator-too-new", "conv_1", "150")]


@pytest.mark.parametrize("node", ["ERROR: Node number 1 (Atan) failed to prepare.", ""])
def test_a_custom_operator_is_tied_by_its_name_or_number(graph, node):
    graph.ops[1] = Op("CUSTOM", graph.ops[1].inputs[:1], graph.ops[1].outputs, custom_code="Atan")
    text = f"ERROR: Encountered unresolved custom op: Atan.\n{node}"
    assert located(text, graph) == [("unknown-custom-operator", "conv_1", "Atan")]


def test_a_number_tells_the_layer_whatever_the_message(graph):
    text = (
        "ERROR: :344 no_integer_overflow_from_quantization was not true.\n"
        "ERROR: Node number 2 (CONV_2D) failed to prepare."
    )
    assert located(text, graph)[0][:2] == ("bias-overflow", "conv_2")
    assert located("ERROR: Node number 99 (CONV_2D) failed to prepare.", graph)[0][0] == "operator-failed"


def test_a_bias_of_the_wrong_type_is_found(graph):
    bias = graph.ops[2].inputs[2]
    graph.ops[2].inputs[2] = Tensor.constant("b", np.zeros(4, np.int8), bias.quant)
    text = "ERROR: :334 bias->type != kTfLiteInt32 (INT8 != INT32)"
    assert located(text, graph) == [("bias-type", "conv_2", "INT8 != INT32")]


def test_a_bias_of_the_wrong_scale_is_found(graph):
    bias = graph.ops[1].inputs[2]
    wrong = Quant((bias.quant.scale * 1.01).astype(np.float32), bias.quant.zero_point)
    graph.ops[1].inputs[2] = Tensor.constant("b", bias.data, wrong)
    text = "std::abs(input_product_scale - bias_scale) <= 1e-6 * std::min(input_product_scale, bias_scale)"
    assert [(rule, op) for rule, op, _ in located(text, graph)] == [("bias-scale", "conv_1")]


def test_of_an_overflow_the_finest_layer_is_suspected_and_called_no_more_than_that(graph):
    weights = graph.ops[1].inputs[1]
    tiny = Quant((weights.quant.scale * 1e-6).astype(np.float32), weights.quant.zero_point)
    graph.ops[1].inputs[1] = Tensor.constant("w", weights.data, tiny)
    text = "ERROR: :344 no_integer_overflow_from_quantization was not true."
    assert located(text, graph) == [("bias-overflow", "conv_1", "the smallest bias scale of the model")]


def test_an_open_shape_is_found(graph):
    graph.ops[1].output.shape_signature = (-1, 8, 8, 4)
    text = "delegate that only supports static-sized tensors with a graph that has dynamic-sized tensors"
    assert [(rule, op) for rule, op, _ in located(text, graph)] == [("dynamic-shape", "conv_1")]


def test_of_large_activations_the_largest_are_named(shared):
    graph = read_tflite(shared / "edgetpu/pairs/gcedgetpu__mobilenet_v2_1.0_224_quant/model.tflite")
    ((rule, op, measured),) = located("Compilation failed due to large activation tensors in model.", graph)
    assert (rule, measured) == ("large-activations", "the largest activations of the model")
    sizes = {one.name: sum(t.elements for t in (*one.activations(), *one.outputs)) for one in graph.ops}
    assert sizes[op] == max(sizes.values())


def test_what_cannot_be_tied_stays_as_it_was(graph):
    assert located("Invalid model: m\nModel not quantized", graph) == [("not-quantized", None, None)]
    assert locate_failures([], "", None) == []


def test_a_failed_run_names_the_layers(run, pair: Path):
    kinds = {op.name: op.version for op in read_tflite(pair / "model.tflite").ops if op.kind == "FULLY_CONNECTED"}
    ((name, version),) = kinds.items()
    text = f"ERROR: Didn't find op for builtin opcode 'FULLY_CONNECTED' version '{version}'. An older version"
    (finding,) = run("says", variables={"says": text}).findings
    assert (finding.rule, finding.op) == ("operation-version", name)
