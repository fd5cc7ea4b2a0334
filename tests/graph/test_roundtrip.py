"""Every real `.tflite` file is read, written and read again without loss, and computes the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from coralsmith.graph import Array, Graph, Tensor
from coralsmith.graph.executor import random_inputs
from coralsmith.graph.reader import parse_tflite, read_tflite
from coralsmith.graph.static import make_static
from coralsmith.graph.writer import serialize
from tests.conftest import SHARED

pytestmark = pytest.mark.slow

MODELS = sorted(path.relative_to(SHARED).as_posix() for path in SHARED.rglob("*.tflite"))
LOADABLE = [name for name in MODELS if "_edgetpu" not in name]
INTERPRETER_LACKS_OPERATOR = {
    "edgetpu/pairs/gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder/model.tflite": "PosenetDecoderOp"
}

PLAIN_KERNELS = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
XNNPACK_REFUSES = {"edgetpu/pairs/gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant/model.tflite"}


def describe(tensor: Tensor | None) -> tuple[object, ...] | None:
    """Everything about a tensor, as values that compare."""
    if tensor is None:
        return None
    data = None if tensor.data is None else tensor.data.tobytes()
    quant = tensor.quant and (
        tensor.quant.scale.tobytes(),
        tensor.quant.zero_point.tobytes(),
        tensor.quant.axis,
    )
    return tensor.name, tensor.shape, tensor.dtype.name, data, quant, tensor.is_variable


def content(graph: Graph) -> list[object]:
    """A graph as comparable values; the bias that FULLY_CONNECTED left out is None on both sides."""
    ops = []
    for op in graph.ops:
        inputs = [describe(tensor) for tensor in op.inputs]
        while inputs and inputs[-1] is None:
            inputs.pop()
        outputs = [describe(tensor) for tensor in (*op.outputs, *op.intermediates)]
        ops.append((op.kind, op.custom_code, op.custom_options, op.attributes, inputs, outputs))
    return [ops, [describe(t) for t in graph.inputs], [describe(t) for t in graph.outputs]]


def read_static(name: str) -> Graph:
    """The graph of a file; where its batch is unknown, with batch 1, as every import makes it."""
    graph = read_tflite(SHARED / name)
    make_static(graph)
    return graph


def test_there_are_models_to_read(shared: Path) -> None:
    assert len(MODELS) >= 40


@pytest.mark.parametrize("name", MODELS)
def test_reading_what_was_written_gives_the_same_graph(name: str) -> None:
    graph = read_static(name)
    assert content(parse_tflite(serialize(graph))) == content(graph)


@pytest.mark.parametrize("name", LOADABLE)
def test_the_written_file_computes_the_same_bits(name: str) -> None:
    if name in INTERPRETER_LACKS_OPERATOR:
        pytest.skip(f"the interpreter has no custom operator {INTERPRETER_LACKS_OPERATOR[name]}")
    graph = read_static(name)
    inputs = random_inputs(graph, np.random.default_rng(1))
    kernels = PLAIN_KERNELS if name in XNNPACK_REFUSES else OpResolverType.AUTO
    original = interpret((SHARED / name).read_bytes(), inputs, kernels)
    assert interpret(serialize(graph), inputs, kernels) == original


def interpret(model: bytes, inputs: Sequence[Array], kernels: OpResolverType) -> list[bytes]:
    """The bytes of each output, by the interpreter itself."""
    interpreter = Interpreter(model_content=model, num_threads=2, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    for details, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]).tobytes() for details in interpreter.get_output_details()]


def test_writing_twice_gives_the_same_bytes(shared: Path) -> None:
    graph = read_tflite(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite")
    assert serialize(graph) == serialize(graph.copy())
