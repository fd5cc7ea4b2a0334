"""Damages models in their meaning: well-formed files whose operators, shapes, types and scales do not fit.

Byte-wise damage is mostly noticed while reading; these files come further, up to the kernels of the interpreter.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPERATOR_NUMBERS = [number for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")]
NUMERIC_TYPES = [number for name, number in vars(schema.TensorType).items() if not name.startswith("_")]
SIZES = (-1, 0, 1, 2, 3, 5, 7, 8, 16, 33, 255, 256, 1 << 15, 1 << 20, (1 << 31) - 1)
INTEGERS = (-(1 << 31), -8, -2, -1, 0, 1, 2, 3, 4, 7, 8, 255, 65536, 1 << 20, (1 << 31) - 1)
SCALES = (0.0, -1.0, 1e-45, 1e-38, 1e-20, 1e-7, 0.001, 1 / 256, 1.0, 100.0, 1e7, 1e20, 3e38, np.inf, np.nan)
_ENUMERATIONS = ("activation", "padding", "mode", "type", "format", "combiner")
ZERO_POINTS = (-(1 << 40), -129, -128, -1, 0, 1, 127, 128, 255, 256, 1 << 40)


def mutate_meaning(content: bytes, generator: np.random.Generator) -> bytes:
    """The model with one to four changes; the same generator state gives the same bytes."""
    model = schema.ModelT.InitFromPackedBuf(content)
    for _ in range(min(int(generator.geometric(0.6)), 4)):
        _CHANGES[generator.integers(len(_CHANGES))](model, generator)
    builder = flatbuffers.Builder(len(content) + 1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _any(items: Any, generator: np.random.Generator) -> Any:
    return items[int(generator.integers(len(items)))]


def _tensor(model: Any, generator: np.random.Generator) -> Any:
    return _any(model.subgraphs[0].tensors, generator)


def _operator(model: Any, generator: np.random.Generator) -> Any:
    return _any(model.subgraphs[0].operators, generator)


def _change_kind(model: Any, generator: np.random.Generator) -> None:
    """Another operator with the same inputs; sometimes with its own (default) options."""
    number = _any(OPERATOR_NUMBERS, generator)
    code = schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number)
    model.operatorCodes.append(code)
    _operator(model, generator).opcodeIndex = len(model.operatorCodes) - 1


def _borrow_kind(model: Any, generator: np.random.Generator) -> None:
    """The kind and the options of another operator of the model."""
    source, target = _operator(model, generator), _operator(model, generator)
    target.opcodeIndex = source.opcodeIndex
    target.builtinOptionsType, target.builtinOptions = source.builtinOptionsType, source.builtinOptions


def _change_option(model: Any, generator: np.random.Generator) -> None:
    options = _operator(model, generator).builtinOptions
    numbers = (
        {name: value for name, value in vars(options).items() if isinstance(value, (int, float))}
        if options
        else {}
    )
    if not numbers:
        return
    name = _any(sorted(numbers), generator)
    if isinstance(numbers[name], bool):
        setattr(options, name, not numbers[name])
    elif isinstance(numbers[name], float):
        setattr(options, name, _any(SCALES, generator))
    elif any(part in name.lower() for part in _ENUMERATIONS):
        setattr(options, name, int(generator.integers(5)))
    else:
        setattr(options, name, _any(INTEGERS, generator))


def _drop_options(model: Any, generator: np.random.Generator) -> None:
    operator = _operator(model, generator)
    operator.builtinOptionsType, operator.builtinOptions = 0, None


def _change_shape(model: Any, generator: np.random.Generator) -> None:
    tensor = _tensor(model, generator)
    shape = [] if tensor.shape is None else list(tensor.shape)
    if shape:
        shape[generator.integers(len(shape))] = _any(SIZES, generator)
        tensor.shape = shape


def _change_rank(model: Any, generator: np.random.Generator) -> None:
    """The same elements in another number of dimensions."""
    tensor = _tensor(model, generator)
    shape = [] if tensor.shape is None else list(tensor.shape)
    if 1 in shape and generator.integers(2):
        shape.remove(1)
    else:
        shape.insert(int(generator.integers(len(shape) + 1)), 1)
    tensor.shape = shape


def _change_type(model: Any, generator: np.random.Generator) -> None:
    _tensor(model, generator).type = _any(NUMERIC_TYPES, generator)


def _change_all_types(model: Any, generator: np.random.Generator) -> None:
    """One element type for every activation: each operator meets types that it may not know."""
    number = _any(NUMERIC_TYPES, generator)
    for tensor in model.subgraphs[0].tensors:
        if model.buffers[tensor.buffer].data is None:
            tensor.type = number


def _change_scale(model: Any, generator: np.random.Generator) -> None:
    tensor = _tensor(model, generator)
    if tensor.quantization is None or generator.integers(4) == 0:
        tensor.quantization = schema.QuantizationParametersT(scale=[0.5], zeroPoint=[0])
    elif generator.integers(4) == 0:
        tensor.quantization = None
    elif tensor.quantization.scale is not None and len(tensor.quantization.scale):
        scales = np.array(tensor.quantization.scale, np.float32)
        scales[generator.integers(len(scales))] = _any(SCALES, generator)
        tensor.quantization.scale = scales


def _change_zero_point(model: Any, generator: np.random.Generator) -> None:
    quantization = _tensor(model, generator).quantization
    if quantization is not None and quantization.zeroPoint is not None and len(quantization.zeroPoint):
        points = np.array(quantization.zeroPoint, np.int64)
        points[generator.integers(len(points))] = _any(ZERO_POINTS, generator)
        quantization.zeroPoint = points


def _change_constant(model: Any, generator: np.random.Generator) -> None:
    """Another value in a short vector of int32: axes, paddings, sizes, permutations."""
    for _ in range(8):
        tensor = _tensor(model, generator)
        data = model.buffers[tensor.buffer].data
        if data is not None and tensor.type == schema.TensorType.INT32 and 4 <= len(data) <= 64:
            values = np.array(data, np.uint8).view(np.int32).copy()
            values[generator.integers(len(values))] = _any(INTEGERS, generator)
            model.buffers[tensor.buffer].data = values.view(np.uint8)
            return


def _make_variable(model: Any, generator: np.random.Generator) -> None:
    """A constant becomes a graph input, so that a kernel meets a shape or axis known only at run time."""
    graph = model.subgraphs[0]
    number = int(generator.integers(len(graph.tensors)))
    if model.buffers[graph.tensors[number].buffer].data is not None:
        graph.tensors[number].buffer = 0
        graph.inputs = [*graph.inputs, number]


def _change_operands(model: Any, generator: np.random.Generator) -> None:
    operator = _operator(model, generator)
    inputs = list(operator.inputs) if operator.inputs is not None else []
    kind = generator.integers(4)
    stranger = int(generator.integers(-1, len(model.subgraphs[0].tensors)))
    if kind == 0 and inputs:
        inputs[generator.integers(len(inputs))] = stranger
    elif kind == 1 and inputs:
        del inputs[generator.integers(len(inputs))]
    elif kind == 2:
        inputs.append(stranger)
    else:
        generator.shuffle(inputs)
    operator.inputs = inputs


def _change_outputs(model: Any, generator: np.random.Generator) -> None:
    operator = _operator(model, generator)
    outputs = list(operator.outputs)
    if generator.integers(2):
        outputs = outputs[:-1]
    else:
        fresh = schema.TensorT(shape=[1], type=0, name="fresh")
        model.subgraphs[0].tensors.append(fresh)
        outputs.append(len(model.subgraphs[0].tensors) - 1)
    operator.outputs = outputs


_CHANGES = (
    _change_kind,
    _borrow_kind,
    _change_option,
    _change_option,
    _drop_options,
    _change_shape,
    _change_rank,
    _change_type,
    _change_all_types,
    _change_scale,
    _change_scale,
    _change_zero_point,
    _change_constant,
    _change_constant,
    _make_variable,
    _change_operands,
    _change_outputs,
)
