"""Which layers cause the error of the int8 heads: one layer in int8 at a time, all others in float.

A layer's own error is what rounding its weights and its result adds; the rounding of its input belongs to the
layer before. So each layer gets the float activations, computes with the weights that the int8 graph has, its
result is rounded to the int8 graph's scale, and the float network goes on from there to the heads. Such errors
hardly depend on one another, so that their squares about add up to the whole (`Attribution.explained`).

Only what lies behind a layer is run again. The values before it are those of the float graph, computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor, as_real
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.fidelity import find_twins
from coralsmith.quantization.rules import SAME_SCALE

FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class LayerShare:
    """The error that one layer causes alone.

    Attributes:
        op: The operator of the float graph.
        errors: For each float output its squared error, summed over all values and images.
    """

    op: Op
    errors: dict[str, float]


@dataclass(frozen=True)
class Attribution:
    """Where the error of the heads comes from.

    Attributes:
        layers: In execution order; layers that only move integers cause none and are not among them.
        total: For each output the squared error of the int8 graph itself.
        images: How many were used.
    """

    layers: list[LayerShare]
    total: dict[str, float]
    images: int

    def shares(self) -> list[tuple[Op, float]]:
        """Each layer's part of the sum of all layers' errors, 0 to 1, the mean over the outputs."""
        sums = {name: sum(layer.errors[name] for layer in self.layers) for name in self.total}
        known = [name for name, total in sums.items() if total > 0]
        return [
            (layer.op, sum(layer.errors[name] / sums[name] for name in known) / max(1, len(known)))
            for layer in self.layers
        ]

    def explained(self) -> dict[str, float]:
        """For each output the sum of the layers' errors in parts of the whole error; near 1 if they add up."""
        return {
            name: sum(layer.errors[name] for layer in self.layers) / total
            for name, total in self.total.items()
            if total > 0
        }


def attribute_error(
    reference: Graph,
    quantized: Graph,
    samples: Iterable[tuple[Array, Array]],
    progress: Progress = SILENT,
    threads: int = 2,
) -> Attribution:
    """Find the error that each layer causes alone.

    Args:
        reference: The float graph that was quantized.
        quantized: The int8 graph made from it.
        samples: Pairs of the float graph's input and the int8 graph's input; a few are enough.
        progress: Advanced by one after each layer.
        threads: CPU threads of the interpreter.
    """
    values, inputs, total = _run_both(reference, quantized, samples, threads)
    images = len(inputs)
    twins = find_twins(reference, quantized)
    makers = quantized.producers()
    layers: list[LayerShare] = []
    for op in reference.ops:
        twin = twins.get(op.output)
        maker = None if twin is None else makers.get(twin)
        if twin is not None and maker is not None and not _moves_only(op, twin, twins):
            layers.append(LayerShare(op, _error_of(op, maker, twin, reference, values, inputs, threads)))
        progress.advance()
    return Attribution(layers, total, images)


def _run_both(
    reference: Graph, quantized: Graph, samples: Iterable[tuple[Array, Array]], threads: int
) -> tuple[dict[Tensor, list[Array]], list[Array], dict[str, float]]:
    """Every float activation of each image, the image as the int8 graph sees it, the int8 graph's own error."""
    float_executor = Executor(reference, threads=threads, keep_all=True)
    int8_executor = Executor(quantized, threads=threads, keep_all=True)
    twins = find_twins(reference, quantized)
    image = reference.inputs[0]
    by_name = {tensor.name: tensor for tensor in quantized.tensors() if not tensor.is_constant}
    seen = by_name.get(f"{image.name}_int8") or by_name[image.name]
    activations = [tensor for tensor in reference.tensors() if not tensor.is_constant]
    values: dict[Tensor, list[Array]] = {tensor: [] for tensor in activations}
    inputs: list[Array] = []
    total = {tensor.name: 0.0 for tensor in reference.outputs if tensor in twins}
    for float_input, int8_input in samples:
        float_executor.invoke(float_input)
        int8_executor.invoke(int8_input)
        for tensor, kept in values.items():
            kept.append(float_executor.value(tensor))
        inputs.append(as_real(seen, int8_executor.value(seen)).astype(np.float32))
        for tensor in reference.outputs:
            if tensor in twins:
                twin = twins[tensor]
                total[tensor.name] += _squared(values[tensor][-1], as_real(twin, int8_executor.value(twin)))
    return values, inputs, total


def _moves_only(op: Op, twin: Tensor, twins: dict[Tensor, Tensor]) -> bool:
    """Whether the operator passes integers on as they are, so that it adds no error."""
    sources = [twins.get(t) for t in op.inputs if t is not None and not t.is_constant and t.is_float]
    quant = twin.quant
    return (
        op.kind in SAME_SCALE
        and op.kind not in ("AVERAGE_POOL_2D", "RESIZE_BILINEAR")
        and quant is not None
        and all(source is not None and quant.same_as(source.quant) for source in sources)
    )


def _error_of(
    op: Op,
    maker: Op,
    twin: Tensor,
    reference: Graph,
    values: dict[Tensor, list[Array]],
    inputs: list[Array],
    threads: int,
) -> dict[str, float]:
    """The squared error of each output where this operator alone is in int8."""
    graph, sources = _with_one_in_int8(op, maker, twin, reference)
    executor = Executor(graph, threads=threads)
    image = reference.inputs[0]
    errors = {tensor.name: 0.0 for tensor in reference.outputs}
    for number in range(len(inputs)):
        # A layer that reads the image gets the integers' values: its bias takes back their offset.
        executor.invoke(*(inputs[number] if source is image else values[source][number] for source in sources))
        for tensor in graph.outputs:
            original = next(output for output in reference.outputs if output.name == tensor.name)
            errors[tensor.name] += _squared(values[original][number], executor.value(tensor))
    return errors


def _with_one_in_int8(op: Op, maker: Op, twin: Tensor, reference: Graph) -> tuple[Graph, list[Tensor]]:
    """The part of the float graph from `op` on, `op` with integer weights and result; and the values it reads.

    Args:
        op: The operator.
        maker: The int8 graph's form of it.
        twin: What that computes.
        reference: The whole float graph.
    """
    behind = _behind(op, reference)
    copies: dict[Tensor, Tensor] = {}
    sources: list[Tensor] = []

    def copy_of(tensor: Tensor) -> Tensor:
        if tensor not in copies:
            if tensor.data is None:
                sources.append(tensor)
            copies[tensor] = Tensor(tensor.name, tensor.shape, tensor.dtype, data=tensor.data)
        return copies[tensor]

    inputs = [
        None
        if tensor is None
        else _dequantized(own)
        if own is not None and _is_weight(own, tensor)
        else copy_of(tensor)
        for tensor, own in _paired(op, maker)
    ]
    raw = Tensor(f"{op.output.name}/unrounded", op.output.shape, FLOAT)
    rounded = Tensor(f"{op.output.name}/int8", op.output.shape, twin.dtype, quant=twin.quant)
    copies[op.output] = Tensor(op.output.name, op.output.shape, FLOAT)
    others = [Tensor(tensor.name, tensor.shape, tensor.dtype) for tensor in op.outputs[1:]]
    copies.update(zip(op.outputs[1:], others, strict=True))
    ops = [
        Op(op.kind, inputs, [raw, *others], dict(op.attributes), options_table=op.options_table),
        Op("QUANTIZE", [raw], [rounded]),
        Op("DEQUANTIZE", [rounded], [copies[op.output]]),
    ]
    for later in behind:
        later_inputs = [None if tensor is None else copy_of(tensor) for tensor in later.inputs]
        outputs = [Tensor(tensor.name, tensor.shape, tensor.dtype) for tensor in later.outputs]
        copies.update(zip(later.outputs, outputs, strict=True))
        ops.append(
            Op(later.kind, later_inputs, outputs, dict(later.attributes), options_table=later.options_table)
        )
    made = {tensor for each in ops for tensor in each.outputs}
    outputs = [copies[tensor] for tensor in reference.outputs if copies.get(tensor) in made]
    return Graph(ops, [copies[tensor] for tensor in sources], outputs), sources


def _behind(op: Op, graph: Graph) -> list[Op]:
    """The operators that depend on `op`, in execution order."""
    reached = set(op.outputs)
    found = []
    for later in graph.ops:
        if later is not op and any(tensor in reached for tensor in later.inputs if tensor is not None):
            found.append(later)
            reached.update(later.outputs)
    return found


def _paired(op: Op, maker: Op) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    """The inputs of an operator with those of its int8 form, which may have a bias more."""
    for position in range(max(len(op.inputs), len(maker.inputs) if maker.kind == op.kind else 0)):
        own = maker.inputs[position] if maker.kind == op.kind and position < len(maker.inputs) else None
        given = op.inputs[position] if position < len(op.inputs) else own
        yield given if given is not None else own, own


def _is_weight(own: Tensor, tensor: Tensor) -> bool:
    """Whether a constant of the int8 graph holds quantized numbers in the place of a float one's."""
    return own.is_constant and own.quant is not None and (tensor.is_float or tensor is own)


def _dequantized(constant: Tensor) -> Tensor:
    assert constant.data is not None, "weights are constant"
    return Tensor.constant(constant.name, as_real(constant, constant.data).astype(np.float32))


def _squared(expected: Array, found: Array) -> float:
    return float(np.square(found.astype(np.float64) - expected).sum())
