"""Looks into `.tflite` files with the schema's own objects, independently of coralsmith's reader and writer."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from coralsmith.graph import Array, Graph
from coralsmith.graph.writer import serialize, serialize_for_interpreter


def unpack(content: bytes) -> Any:
    """A file as the schema's objects."""
    return schema.ModelT.InitFromPackedBuf(content)


def pack(model: Any) -> bytes:
    """The schema's objects as a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def written(graph: Graph) -> Any:
    """What the writer makes of `graph`, as the schema's objects."""
    return unpack(serialize(graph))


def interpret(graph: Graph, *inputs: Array) -> list[Array]:
    """The outputs of `graph` by the interpreter itself, without XNNPACK; zeros where no inputs are given."""
    content, _ = serialize_for_interpreter(graph)
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    values = inputs or [np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs]
    for details, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]
