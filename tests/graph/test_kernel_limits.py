"""Graphs that the interpreter would not survive are refused before it sees them."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest
from flatbuffers import flexbuffers

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.graph.executor import Executor, random_inputs
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.graph.kernel_limits import breached_limits
from coralsmith.graph.writer import serialize_for_interpreter
from tests.builders import activation, constant, conv_graph, graph, op, random_constant


def complaint(model: Graph) -> str:
    return next(iter(breached_limits(model)), "")


def depthwise_without_bias() -> Graph:
    source, weights = activation("input", (1, 4, 4, 2)), random_constant("weights", (1, 3, 3, 2))
    options = {"stride_h": 1, "stride_w": 1, "padding": "SAME", "depth_multiplier": 1}
    return graph([op("DEPTHWISE_CONV_2D", [source, weights], "depthwise", **options)], [source])


def of_scales(kind: str, source: float, output: float) -> Graph:
    """An operator of two int8 inputs of scale `source`; a comparison has an output of truth values."""
    sources = [activation(name, (1, 4), np.int8, Quant.per_tensor(source, 0)) for name in "ab"]
    result = op(kind, list(sources), "result", np.bool_ if kind == "LESS" else np.int8)
    result.output.quant = Quant.per_tensor(output, 0) if kind != "LESS" else None
    return graph([result], sources)


def slice_by_offsets() -> Graph:
    bounds = [constant(name, [value], np.int32) for name, value in (("begin", 0), ("end", 1), ("stride", 1))]
    source = activation("input", (2, 2, 1, 1))
    part = Op("STRIDED_SLICE", [source, *bounds], [activation("part", (1, 2, 1, 1))], {"offset": True})
    return Graph([part], [source], part.outputs)


def reshape_without_its_shape() -> Graph:
    source = activation("input", (1, 4))
    reshape = Op("RESHAPE", [source, None], [activation("flat", (4,))], {"new_shape": (4,)})
    return graph([reshape], [source])


def filter_from_the_input() -> Graph:
    model = conv_graph()
    weights = activation("weights", model.ops[0].inputs[1].shape)
    model.ops[0].inputs[1] = weights
    return Graph(model.ops, [*model.inputs, weights], model.outputs)


def size_from_the_input() -> Graph:
    value, dims = constant("value", 0.0, np.float32), activation("dims", (2,), np.int32)
    fill = Op("FILL", [dims, value], [activation("output", (1, 1))])
    return Graph([fill], [dims], fill.outputs)


def unlisted_operator() -> Graph:
    source = activation("input", (1, 4))
    assign = Op("ASSIGN_VARIABLE", [source], [activation("output", (1, 4))])
    return Graph([assign], [source], assign.outputs)


def postprocess(
    options: dict[str, int] | None = None, *, anchors: int = 16, encoded: bytes | None = None
) -> Graph:
    """Sixteen boxes of two classes through the detection post-processing."""
    values = {"max_detections": 4, "max_classes_per_detection": 1, "num_classes": 2, **(options or {})}
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in values.items():
            builder.Int(name, value)
        for name in ("nms_score_threshold", "nms_iou_threshold", "y_scale", "x_scale", "h_scale", "w_scale"):
            builder.Float(name, 0.5)
    sources = [activation("boxes", (1, 16, 4)), activation("scores", (1, 16, 2))]
    corners = constant("anchors", np.full((anchors, 4), 0.5), np.float32)
    outputs = [activation(f"output{i}", shape) for i, shape in enumerate([(1, 4, 4), (1, 4), (1, 4), (1,)])]
    custom = Op("CUSTOM", [*sources, corners], outputs, custom_code="TFLite_Detection_PostProcess")
    custom.custom_options = bytes(builder.Finish()) if encoded is None else encoded
    return Graph([custom], sources, outputs)


UNSURVIVED = {
    "DEPTHWISE_CONV_2D 'depthwise': it has no bias": depthwise_without_bias(),
    "ADD 'result': the scale of its output is a millionth of that of an input": of_scales("ADD", 1.0, 2.0**-20),
    "ADD 'result': one of its scales is beyond all measure": of_scales("ADD", 1.0, 3e38),
    "SQUARED_DIFFERENCE 'result': the scale of its output is thousands of times smaller": of_scales(
        "SQUARED_DIFFERENCE", 1.0, 2.0**-13
    ),
    "LESS 'result': it compares integers whose scale is not below 1": of_scales("LESS", 1.0, 1.0),
    "TFLite_Detection_PostProcess 'output0': its options cannot be read": postprocess(encoded=b""),
}
UNBOUNDED = {
    "ASSIGN_VARIABLE 'output': coralsmith does not know what its kernel relies on": unlisted_operator(),
    "CONV_2D 'conv': its filter depends on the model's input": filter_from_the_input(),
    "FILL 'output': its dims depends on the model's input": size_from_the_input(),
    "its boxes, scores and anchors do not fit each other": postprocess(anchors=15),
    "it asks for 1 of 2 classes in 1000000 rows": postprocess({"max_detections": 1_000_000}),
    "it asks for 1 of 2 classes in -4 rows": postprocess({"max_detections": -4}),
    "it asks for 3 of 2 classes in 12 rows": postprocess({"max_classes_per_detection": 3}),
    "it asks for 1 of 3 classes in 4 rows": postprocess({"num_classes": 3}),
    "it asks for -1 detections of a class": postprocess({"detections_per_class": -1}),
}


@pytest.mark.parametrize("message", {**UNSURVIVED, **UNBOUNDED})
def test_what_kernels_trust_is_checked(message):
    model = {**UNSURVIVED, **UNBOUNDED}[message]
    assert message in complaint(model)
    with pytest.raises(UnsupportedModelError, match="cannot be run here"):
        Executor(model)


SOUND = {
    "a convolution": conv_graph(),
    "a post-processing": postprocess(),
    "a post-processing with an optional option": postprocess({"detections_per_class": 10}),
    "a sum just within its limit": of_scales("ADD", 1.0, 2.0**-18),
    "squares just within their limit": of_scales("SQUARED_DIFFERENCE", 1.0, 2.0**-11),
    "a comparison of small scales": of_scales("LESS", 0.5, 1.0),
}


@pytest.mark.parametrize("model", SOUND.values(), ids=SOUND)
def test_sound_graphs_run(model):
    assert complaint(model) == ""
    Executor(model).run(*random_inputs(model, np.random.default_rng(0)))


def test_sizes_that_follow_from_shapes_are_no_risk():
    """SHAPE of a static tensor does not depend on the input's values."""
    source, value = activation("input", (2, 3)), constant("value", 0.0, np.float32)
    size = activation("size", (2,), np.int32)
    ops = [
        Op("SHAPE", [source], [size], {"out_type": "INT32"}),
        Op("FILL", [size, value], [activation("filled", (2, 3))]),
    ]
    assert complaint(Graph(ops, [source], ops[1].outputs)) == ""


def test_weights_that_follow_from_constants_are_no_risk():
    """The float16 weights of a converted model pass through DEQUANTIZE."""
    model = conv_graph()
    (conv,) = model.ops
    half = constant("half", conv.inputs[1].data, np.float16)
    expanded = Tensor("expanded", half.shape, np.dtype(np.float32))
    conv.inputs[1] = expanded
    model.ops.insert(0, Op("DEQUANTIZE", [half], [expanded]))
    assert complaint(model) == ""


def test_the_scale_of_real_numbers_is_no_limit():
    model = of_scales("ADD", 1.0, 2.0**-20)
    for tensor in model.tensors():
        tensor.dtype = np.dtype(np.float32)
    assert complaint(model) == ""


def test_weights_may_be_as_small_as_they_are():
    """Trained networks have dead channels whose weights are next to nothing."""
    model = conv_graph()
    (conv,) = model.ops
    source = activation("input", model.inputs[0].shape, np.int8, Quant.per_tensor(0.5, 0))
    tiny = Quant(np.array([1e-30, 1, 1, 1], np.float32), np.zeros(4, np.int64), 0)
    weights, bias = (
        constant(t.name, t.data, dtype, tiny)
        for t, dtype in zip(conv.inputs[1:], (np.int8, np.int32), strict=True)
    )
    conv.inputs, conv.output.dtype, conv.output.quant = [source, weights, bias], source.dtype, source.quant
    assert complaint(Graph([conv], [source], model.outputs)) == ""


def _run_unchecked(model: Graph) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    content, number = serialize_for_interpreter(model)
    interpreter = load_interpreter(content, threads=1)
    for tensor, values in zip(model.inputs, random_inputs(model, np.random.default_rng(0)), strict=True):
        interpreter.set_tensor(number[tensor], values)
    interpreter.invoke()


@pytest.mark.slow
@pytest.mark.parametrize("message", UNSURVIVED)
def test_the_interpreter_really_ends_the_process(message):
    """The evidence of the limits: should a new LiteRT survive, the limit can go."""
    process = multiprocessing.get_context("spawn").Process(target=_run_unchecked, args=(UNSURVIVED[message],))
    process.start()
    process.join(60)
    assert process.exitcode in (-signal.SIGSEGV, -signal.SIGABRT)
