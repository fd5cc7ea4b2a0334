"""What one inference asks of the Edge TPU, of the bus and of the host: what the latency estimate starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from coralsmith.edgetpu.activations import TILE_BYTES
from coralsmith.edgetpu.blocks import padded_lanes
from coralsmith.edgetpu.features import FREE, TILES, Features, multiplications, operator_features, total
from coralsmith.edgetpu.memory import ParameterMemory, parameter_memory
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.postprocess_limits import CUSTOM_CODE

ACTIVATION_BYTES: Final = TILES * TILE_BYTES
"""Memory for activations."""


@dataclass(frozen=True)
class Work:
    """One inference in numbers.

    Attributes:
        features: What the operators on the Edge TPU ask for (`operator_features`), summed up.
        input_bytes: Bytes sent to the chip.
        output_bytes: Bytes received from it, its padding of channels to a multiple of 4 included.
        streamed_bytes: Parameters that do not stay on the chip and are sent again, as the best guess.
        streamed_low: The least that these may be.
        streamed_high: The most that these may be.
        crowded_bytes: Of those that may be streamed, the parameters of operators whose input and output do not fit
            into the chip's activation memory together, so that they may be sent more than once.
        host_multiplications: Multiply-accumulate operations of the operators on the CPU.
        host_elements: Elements put out by the operators on the CPU that have no weights.
        host_postprocess: Operators that decode detections and suppress overlaps.
        host_unknown: Operators on the CPU whose work is not known: other custom ones.
    """

    features: Features = field(default_factory=dict)
    input_bytes: int = 0
    output_bytes: int = 0
    streamed_bytes: int = 0
    streamed_low: int = 0
    streamed_high: int = 0
    crowded_bytes: int = 0
    host_multiplications: int = 0
    host_elements: int = 0
    host_postprocess: int = 0
    host_unknown: int = 0


def work_of(graph: Graph, mapped: Iterable[int], memory: ParameterMemory | None = None) -> Work:
    """The work of a model.

    Args:
        graph: The model; a float one is taken as the int8 model that it will be.
        mapped: Indices of the operators on the Edge TPU.
        memory: Parameter memory of those operators, if it is known already.

    Returns:
        Work of which nothing is left out but the operators counted in `host_unknown`.
    """
    chosen = set(mapped)
    on_chip = [op for index, op in enumerate(graph.ops) if index in chosen]
    on_host = [op for index, op in enumerate(graph.ops) if index not in chosen]
    inputs, outputs = boundary(graph, on_chip)
    memory = memory or parameter_memory(graph, chosen)
    low, streamed, high = streamed_bytes(memory)
    may_stream = [layer for layer in memory.layers if layer.placement != "cached"]
    plain = [op for op in on_host if op.kind != "CUSTOM"]
    postprocess = sum(op.custom_code == CUSTOM_CODE for op in on_host)
    return Work(
        features=total(map(operator_features, on_chip)),
        input_bytes=sum(map(_bytes, inputs)),
        output_bytes=sum(map(_padded_bytes, outputs)),
        streamed_bytes=streamed,
        streamed_low=low,
        streamed_high=high,
        crowded_bytes=sum(layer.low for layer in may_stream if _is_crowded(graph.ops[layer.index])),
        host_multiplications=sum(multiplications(op) for op in plain),
        host_elements=sum(host_elements(op) for op in plain),
        host_postprocess=postprocess,
        host_unknown=len(on_host) - len(plain) - postprocess,
    )


def streamed_bytes(memory: ParameterMemory) -> tuple[int, int, int]:
    """Parameters that are streamed: at least, probably, at most."""
    middle = (memory.streamed_low + memory.streamed_high) // 2
    best = middle if memory.streamed_bytes is None else memory.streamed_bytes
    return memory.streamed_low, best, memory.streamed_high


def boundary(graph: Graph, on_chip: list[Op]) -> tuple[list[Tensor], list[Tensor]]:
    """The activations that some operators take from and give to the rest of the graph, each once."""
    made = {tensor for op in on_chip for tensor in op.outputs}
    read = dict.fromkeys(tensor for op in on_chip for tensor in op.activations() if tensor not in made)
    inside = set(map(id, on_chip))
    wanted = set(graph.outputs)
    wanted.update(t for op in graph.ops if id(op) not in inside for t in op.inputs if t is not None)
    return list(read), [tensor for op in on_chip for tensor in op.outputs if tensor in wanted]


def host_elements(op: Op) -> int:
    """Elements that an operator without weights reads or writes, whichever are more."""
    if op.kind in FREE or multiplications(op):
        return 0
    return max((t.elements for t in (*op.activations(), *op.outputs)), default=0)


def _is_crowded(op: Op) -> bool:
    return sum(map(_padded_bytes, (*op.activations(), *op.outputs))) > ACTIVATION_BYTES


def _bytes(tensor: Tensor) -> int:
    return tensor.elements * (1 if tensor.is_float else tensor.dtype.itemsize)


def _padded_bytes(tensor: Tensor) -> int:
    channels = max(1, tensor.shape[-1]) if tensor.shape else 1
    return _bytes(tensor) // channels * padded_lanes(channels)
