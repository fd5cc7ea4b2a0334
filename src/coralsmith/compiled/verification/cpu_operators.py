"""The operators that a compiled file leaves on the CPU, paired with those of its source and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from coralsmith.compiled.verification.report import Difference
from coralsmith.graph.flexbuffer import FLEXBUFFER_DAMAGE, flexbuffer_map
from coralsmith.graph.model import Graph, Op, Tensor


def renamed(source: Graph, on_cpu: Iterable[CpuOperator]) -> dict[str, Tensor]:
    """The tensors of the source that have other names in a compiled file, as its operators on the CPU tell."""
    pairs: dict[str, Tensor] = {}
    for one in on_cpu:
        if one.index is not None:
            other = source.ops[one.index]
            for here, there in zip(
                [*one.op.inputs, *one.op.outputs], [*other.inputs, *other.outputs], strict=False
            ):
                if here is not None and there is not None:
                    pairs[here.name] = there
    return pairs


@dataclass(frozen=True, eq=False)
class CpuOperator:
    """An operator of a compiled file that runs on the CPU.

    Attributes:
        file: The compiled file.
        op: The operator.
        index: Its position in the source; None where the source has no such operator.
        differences: What it has otherwise than the source.
    """

    file: str
    op: Op
    index: int | None
    differences: tuple[Difference, ...] = ()


def unique_names(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors whose names are theirs alone."""
    together: dict[str, list[Tensor]] = {}
    for name, tensor in named:
        together.setdefault(name, []).append(tensor)
    return {name: found[0] for name, found in together.items() if len(found) == 1}


def needs_cpu(op: Op) -> bool:
    """Whether an operator cannot run on the Edge TPU, whatever the compiler: it is custom, or has real numbers."""
    tensors = (*op.inputs, *op.outputs)
    return op.kind == "CUSTOM" or any(tensor is not None and tensor.is_float for tensor in tensors)


def missing_operators(source: Graph, on_cpu: Iterable[CpuOperator]) -> list[Op]:
    """The operators of the source that only a CPU can run, and that no compiled file has there."""
    found = {one.index for one in on_cpu}
    return [op for index, op in enumerate(source.ops) if index not in found and needs_cpu(op)]


def cpu_operators(source: Graph, compiled: Iterable[tuple[str, Iterable[Op]]]) -> list[CpuOperator]:
    """Pair the operators on the CPU with those of the source: by name, else the first of the same form.

    Args:
        source: The source.
        compiled: Each file with its operators on the CPU.
    """
    unpaired = dict(enumerate(source.ops))
    names = unique_names((tensor.name, tensor) for tensor in source.tensors())
    found: list[CpuOperator] = []
    for file, ops in compiled:
        made: dict[Tensor, Tensor] = {}
        for op in ops:
            alike = [index for index, other in unpaired.items() if _is_alike(op, other)]
            named = (index for index in alike if unpaired[index].name == op.name)
            index = next(named, alike[0] if alike else None)
            if index is None:
                found.append(CpuOperator(file, op, None))
            else:
                own = unpaired.pop(index)
                differences = (*_differences(own, op, names), *_wiring(own, op, made))
                found.append(CpuOperator(file, op, index, differences))
                if len(alike) == 1:
                    made.update(zip(op.outputs, own.outputs, strict=True))
    return found


def _is_alike(first: Op, second: Op) -> bool:
    return (
        first.kind == second.kind
        and first.custom_code == second.custom_code
        and [tensor.shape for tensor in first.outputs] == [tensor.shape for tensor in second.outputs]
    )


def _differences(source: Op, compiled: Op, names: Mapping[str, Tensor]) -> Iterator[Difference]:
    """What an operator has otherwise than the source's; `names` are the tensors of the source."""
    for name in dict.fromkeys([*source.attributes, *compiled.attributes]):
        wanted, found = source.attributes.get(name), compiled.attributes.get(name)
        if found != wanted:
            yield Difference(name, str(wanted), str(found))
    if not _are_same_options(source.custom_options, compiled.custom_options):
        yield Difference("options", f"{len(source.custom_options)} bytes", "others")
    if len(source.inputs) != len(compiled.inputs):
        yield Difference("inputs", str(len(source.inputs)), str(len(compiled.inputs)))
    sides = ([*source.inputs, *source.outputs], [*compiled.inputs, *compiled.outputs])
    for wanted_tensor, found_tensor in zip(*sides, strict=False):
        if wanted_tensor is not None and found_tensor is not None:
            yield from _constant_differences(wanted_tensor, found_tensor)
            yield from _activation_differences(wanted_tensor, found_tensor, names)


def _wiring(source: Op, compiled: Op, made: Mapping[Tensor, Tensor]) -> Iterator[Difference]:
    """What an operator takes from others on the CPU otherwise; `made` are their outputs with the source's."""
    for wanted, found in zip(source.inputs, compiled.inputs, strict=False):
        if wanted is not None and found is not None and made.get(found, wanted) is not wanted:
            yield Difference("input", f"'{wanted.name}'", f"'{made[found].name}'")


def _are_same_options(first: bytes, second: bytes) -> bool:
    """Whether the options of two custom operators say the same; a map has more than one spelling."""
    if first == second:
        return True
    try:
        return _spelled_out(first) == _spelled_out(second)
    except FLEXBUFFER_DAMAGE:
        return False


def _spelled_out(content: bytes) -> list[tuple[str, bytes]]:
    options = flexbuffer_map(content)
    return [(key.AsKey, repr(options[key.AsKey].Value).encode()) for key in options.Keys]


def _constant_differences(source: Tensor, compiled: Tensor) -> Iterator[Difference]:
    if source.data is None and compiled.data is None:
        return  # what goes from operator to operator is compared where it goes in and out of the chip
    if source.data is None or compiled.data is None or source.shape != compiled.shape:
        yield Difference(f"'{source.name}'", str(list(source.shape)), str(list(compiled.shape)))
        return
    places = np.argwhere(source.data != compiled.data)
    if len(places):
        first = tuple(int(position) for position in places[0])
        values = str(source.data[first]), str(compiled.data[first])
        what = "weights" if source.data.ndim > 1 else "bias"
        yield Difference(what, *values, len(places), channel=first[0] if first else None)
    if source.quant is not None and not source.quant.same_as(compiled.quant):
        yield Difference(f"quantization of '{source.name}'", quantization(source), quantization(compiled))


def _activation_differences(source: Tensor, compiled: Tensor, names: Mapping[str, Tensor]) -> Iterator[Difference]:
    """What a tensor between operators has otherwise; one of a name that the source does not have is not judged."""
    own = names.get(compiled.name)
    if source.is_constant or compiled.is_constant or own is None:
        return
    if own is not source:
        yield Difference("tensor", f"'{source.name}'", f"'{compiled.name}'")
    elif quantization(source) != quantization(compiled):
        yield Difference(f"quantization of '{source.name}'", quantization(source), quantization(compiled))


def quantization(tensor: Tensor) -> str:
    """The first scale and zero point of a tensor, in words."""
    if tensor.quant is None:
        return "none"
    return f"scale {float(tensor.quant.scale[0]):.9g}, zero point {int(tensor.quant.zero_point[0])}"
