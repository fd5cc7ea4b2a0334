"""What was changed on either side is never called a match, be it layers, constants, operators or their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from coralsmith.compiled.package import CompiledModel
from coralsmith.compiled.program import Program
from coralsmith.compiled.verification import verify_models
from coralsmith.graph.model import Graph, Op, Quant, Tensor
from tests.compiled.pairs import (
    BIRD,
    MOBILENET_V1,
    MOBILENET_V2,
    SSD,
    changed,
    compiled,
    move_zero_point,
    other_output_scale,
    source,
)
from tests.compiled.verification.int8_chain import blob_of, blocks_of, chain, compiled_chain

DEEPLAB = "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant"
FIELDS = {  # of a block: its bundle counted from that of the multiplier, first bit, value that it is changed by
    "weight zero point": (-1, 62, 1),
    "input zero point": (-1, 78, 1),
    "multiplier": (0, 29, 1),
    "greatest multiplier": (0, 29, 0x7F000000),
    "clamp maximum": (0, 61, 1),
    "clamp minimum": (0, 93, 1),
    "bias": (1, 0, 1),
    "output zero point": (1, 29, 1),
}


def verify(shared, name, graph=None, files=None):
    return verify_models(graph or source(shared, name), files or compiled(shared, name), name=name)


def with_instructions(files, change: Callable[[bytearray], None]):
    """The first file with other instructions in its main program."""
    ((name, model), *others) = files
    package = model.packages[0]
    main = package.main_executable
    content = bytearray(b"".join(bytes(stream.content) for stream in main.bitstreams))
    change(content)
    stream = replace(main.bitstreams[0], content=memoryview(bytes(content)))
    programs = tuple(
        replace(one, bitstreams=(stream, *one.bitstreams[1:])) if one is main else one
        for one in package.executables
    )
    assert len(main.bitstreams) == 1
    return [(name, replace_packages(model, replace(package, executables=programs))), *others]


def replace_packages(model: CompiledModel, package) -> CompiledModel:
    return CompiledModel(model.graph, (package,), model.cpu_ops)


def flip(content: bytearray, bundle: int, bit: int, value: int) -> None:
    """Bits of a bundle, from one on, become others."""
    here = slice(16 * bundle, 16 * bundle + 16)
    content[here] = (int.from_bytes(content[here], "little") ^ value << bit).to_bytes(16, "little")


def program_of(files) -> Program:
    return Program.of(files[0][1].packages[0].main_executable)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("block", [0, 1, -1], ids=["first", "second", "last"])
def test_one_block_of_an_operator_with_other_constants_than_the_rest_is_no_match(shared, field, block):
    files = compiled(shared, MOBILENET_V1)
    run = max(program_of(files).runs, key=lambda run: len(run.bundles))
    assert len(run.bundles) > 3
    offset, bit, value = FIELDS[field]
    broken = with_instructions(files, lambda content: flip(content, run.bundles[block] + offset, bit, value))
    report = verify(shared, MOBILENET_V1, files=broken)
    assert report.verdict != "match"
    assert {"constants-unexplained", "layer-mismatch"} & {finding.rule for finding in report.findings}


def test_padding_with_another_value_than_any_zero_point_is_no_match(shared):
    files = compiled(shared, MOBILENET_V2)
    load = program_of(files).paddings[0]
    broken = with_instructions(files, lambda content: flip(content, load.bundle, 88, 0x01010101))
    report = verify(shared, MOBILENET_V2, files=broken)
    assert report.verdict == "unverified"
    (finding,) = [finding for finding in report.findings if finding.rule == "constants-unexplained"]
    assert finding.measured == f"1 place in model_edgetpu.tflite, the first in bundle {load.bundle}"


def swap_parameters(graph: Graph, first: int, second: int) -> Graph:
    copy = graph.copy()
    one, other = copy.ops[first], copy.ops[second]
    one.inputs[1:], other.inputs[1:] = other.inputs[1:], one.inputs[1:]
    return copy


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [(MOBILENET_V2, 7, 11), (MOBILENET_V2, 14, 22), (MOBILENET_V1, 14, 16), (MOBILENET_V1, 13, 23), (SSD, 25, 29)],
)
def test_two_layers_of_one_shape_that_change_places_are_both_named(shared, name, first, second):
    """All their bytes are there, and all constants too, where activations have one scale."""
    report = verify(shared, name, swap_parameters(source(shared, name), first, second))
    mismatched = [layer for layer in report.layers if layer.status == "mismatch"]
    assert report.verdict == "mismatch" and [layer.index for layer in mismatched] == [first, second]
    assert {difference.what for layer in mismatched for difference in layer.differences} == {"order"}


def test_layers_of_equal_bytes_are_in_order_wherever_they_lie():
    twins = chain(16, 16, 16, 16, twins=(0, 1))
    report = verify_models(twins, [("chain_edgetpu.tflite", compiled_chain(twins))], name="")
    assert report.verdict == "match"
    assert [layer.offset for layer in report.layers] == sorted(layer.offset for layer in report.layers)


def test_a_layer_that_shares_its_parameters_with_another_one_and_is_not_stored_again_is_unverified(shared):
    graph = with_operator(source(shared, MOBILENET_V1), 13, "DEPTHWISE_CONV_2D")
    copy, own = graph.ops[14], graph.ops[13]
    copy.inputs, copy.attributes = [*copy.inputs, *own.inputs[1:]], dict(own.attributes)
    report = verify(shared, MOBILENET_V1, graph)
    statuses = [layer.status for layer in report.layers]
    assert (report.verdict, statuses.count("exact"), statuses.count("unverified")) == ("unverified", 28, 1)


def test_a_chain_whose_parameters_lie_in_reverse_is_a_mismatch():
    graph = chain(16, 16, 16, 16)
    blob = blob_of(graph)
    third = len(blob) // 3
    reverse = blob[2 * third :] + blob[third : 2 * third] + blob[:third]
    model = compiled_chain(graph, reverse, blocks_of(graph))
    report = verify_models(graph, [("chain_edgetpu.tflite", model)], name="")
    assert report.verdict == "mismatch"
    assert [layer.status for layer in report.layers if layer.index != 1] == ["mismatch", "mismatch"]


def with_operator(graph: Graph, index: int, kind: str, **attributes) -> Graph:
    """A copy with one more operator behind another one."""
    copy = graph.copy()
    flow = copy.ops[index].output
    added = Tensor("added", flow.shape, flow.dtype, quant=flow.quant)
    for op in copy.ops:
        op.inputs = [added if tensor is flow else tensor for tensor in op.inputs]
    copy.ops.insert(index + 1, Op(kind, [flow], [added], attributes))
    return copy


@pytest.mark.parametrize("kind", ["TANH", "RELU", "MEAN", "LOGISTIC", "DEQUANTIZE"])
def test_an_operator_that_is_not_known_to_show_makes_the_file_unverified(shared, kind):
    report = verify(shared, BIRD, with_operator(source(shared, BIRD), 10, kind))
    assert report.verdict == "unverified" and report.layers_exact == report.layers_total
    assert [other.name for other in report.other_ops if other.status == "unverified"] == ["added"]


def test_a_softmax_of_another_base_is_unverified(shared):
    def steeper(op, graph):
        op.attributes = {**op.attributes, "beta": 2.0}

    graph = source(shared, BIRD)
    index = next(i for i, op in enumerate(graph.ops) if op.kind == "SOFTMAX")
    assert verify(shared, BIRD, changed(graph, index, steeper)).verdict == "unverified"


def test_an_operator_that_only_a_cpu_can_run_must_be_on_the_cpu(shared):
    graph = source(shared, BIRD).copy()
    real = Tensor("real", graph.outputs[0].shape, np.dtype(np.float32))
    graph.ops.append(Op("DEQUANTIZE", [graph.outputs[0]], [real]))
    report = verify(shared, BIRD, graph)
    assert report.verdict == "mismatch"
    assert [finding.op for finding in report.findings if finding.rule == "cpu-operator-missing"] == ["real"]


def test_operators_that_leave_no_trace_are_listed(shared):
    (finding,) = [one for one in verify(shared, MOBILENET_V1).findings if one.rule == "not-compared"]
    assert (finding.severity, finding.measured) == ("info", "1 AVERAGE_POOL_2D, 1 RESHAPE, 1 SOFTMAX")


@pytest.mark.parametrize("change", [other_output_scale, lambda op, graph: move_zero_point(op.output)])
@pytest.mark.parametrize("index", [66, 67])
def test_the_quantization_between_operators_on_the_cpu_is_compared(shared, index, change):
    report = verify(shared, DEEPLAB, changed(source(shared, DEEPLAB), index, change))
    assert report.verdict == "mismatch"
    assert {"cpu-operator-mismatch", "layer-mismatch"} & {finding.rule for finding in report.findings}


def test_a_detection_operator_with_boxes_and_scores_exchanged_is_a_mismatch(shared):
    def exchange(op, graph):
        op.inputs = [op.inputs[1], op.inputs[0], *op.inputs[2:]]

    graph = source(shared, SSD)
    report = verify(shared, SSD, changed(graph, len(graph.ops) - 1, exchange))
    (finding,) = [one for one in report.findings if one.severity == "error"]
    assert (report.verdict, finding.rule) == ("mismatch", "cpu-operator-mismatch")


@pytest.mark.parametrize("change", ["anchors", "options", "attribute"])
def test_one_value_of_the_detection_operator_is_a_mismatch(shared, change):
    def alter(op, graph):
        if change == "anchors":
            anchors = op.inputs[2].data.copy()
            anchors[100, 1] = np.nextafter(anchors[100, 1], np.float32(2))
            op.inputs[2].data = anchors
        elif change == "options":
            op.custom_options = op.custom_options.replace(b"max_detections", b"min_detections")
        else:
            op.attributes = {"new": 1}

    graph = source(shared, SSD)
    assert verify(shared, SSD, changed(graph, len(graph.ops) - 1, alter)).verdict == "mismatch"


def test_the_same_outputs_in_another_order_are_a_mismatch(shared):
    graph = source(shared, SSD).copy()
    graph.outputs = graph.outputs[::-1]
    (finding,) = [one for one in verify(shared, SSD, graph).findings if one.severity == "error"]
    assert (finding.rule, finding.measured) == ("boundary-mismatch", "outputs in the order 3, 2, 1, 0")


def test_a_source_without_the_last_operator_is_no_match(shared):
    graph = source(shared, BIRD).copy()
    softmax = graph.ops.pop()
    graph.outputs = [softmax.inputs[0]]
    report = verify(shared, BIRD, graph)
    assert report.verdict == "unverified"
    assert "boundary-renamed" in {finding.rule for finding in report.findings}


def test_the_signed_twin_of_an_unsigned_source_has_the_same_layers_and_other_inputs(shared):
    """On the chip both are the same integers; the compiled file, though, takes and gives the source's own type."""
    graph = source(shared, MOBILENET_V1).copy()
    for tensor in graph.tensors():
        if tensor.dtype == np.uint8 and tensor.quant is not None:
            tensor.dtype = np.dtype(np.int8)
            tensor.quant = Quant(tensor.quant.scale, tensor.quant.zero_point - 128, tensor.quant.axis)
            tensor.data = None if tensor.data is None else (tensor.data ^ np.uint8(128)).view(np.int8)
    report = verify(shared, MOBILENET_V1, graph)
    assert (report.verdict, report.layers_exact) == ("mismatch", report.layers_total)
    assert {finding.rule for finding in report.findings if finding.severity == "error"} == {"boundary-mismatch"}


def test_a_copy_of_one_file_beside_it_is_no_match(shared):
    files = compiled(shared, MOBILENET_V1)
    report = verify(shared, MOBILENET_V1, files=[*files, ("copy_edgetpu.tflite", files[0][1])])
    assert report.verdict == "unverified"
