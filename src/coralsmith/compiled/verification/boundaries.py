"""The tensors that compiled files share with their source: what goes in and out of the chip and the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coralsmith.compiled.package import CompiledModel
from coralsmith.compiled.segments import segments_of
from coralsmith.compiled.verification.cpu_operators import CpuOperator, quantization, renamed, unique_names
from coralsmith.compiled.verification.rules import verification_rule
from coralsmith.errors import InputError
from coralsmith.findings import Finding, has_errors
from coralsmith.graph.model import Graph, Tensor

_ALL_SEGMENTS = "Give the files of all segments, coralsmith verify SOURCE SEGMENT_0 SEGMENT_1 ..., also"
_MOST_SHOWN = 8


@dataclass(eq=False)
class _Names:
    """The tensors of a source by the names that they may have in a compiled file."""

    source: Graph
    paired: Mapping[str, Tensor]
    whole: Mapping[str, Tensor] = field(init=False)
    first: Mapping[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        tensors = [tensor for tensor in self.source.tensors() if not tensor.is_constant]
        self.whole = unique_names((tensor.name, tensor) for tensor in tensors)
        self.first = unique_names((_first_part(tensor.name), tensor) for tensor in tensors)

    def find(self, name: str) -> Tensor | None:
        """The tensor of that name, else the one in its place of an operator on the CPU, else of a like name."""
        return self.whole.get(name) or self.paired.get(name) or self.first.get(_first_part(name))


def boundary_findings(
    source: Graph, compiled: Sequence[tuple[str, CompiledModel]], on_cpu: Sequence[CpuOperator]
) -> Iterator[Finding]:
    """What the tensors around the programs for the chip have otherwise than those of the source.

    Raises:
        InputError: A file is missing: what another one reads, or the source puts out, is computed by none.
    """
    names = _Names(source, renamed(source, on_cpu))
    _refuse_missing_segments(names, compiled)
    read, made = _open_ends(names, compiled)
    findings = list(_of_tensors(names, compiled, {*read, *made}))
    yield from findings
    if not has_errors(findings):
        yield from _other_shapes("inputs", source.inputs, read.values())
        yield from _other_shapes("outputs", source.outputs, made.values())
        yield from _other_order("inputs", names, source.inputs, read.values())
        yield from _other_order("outputs", names, source.outputs, made.values())


def _of_tensors(
    names: _Names, compiled: Sequence[tuple[str, CompiledModel]], open_ends: set[str]
) -> Iterator[Finding]:
    """Each tensor against the one of the source, and where it goes through two segments, against itself."""
    seen: dict[str, Tensor] = {}
    for file, model in compiled:
        for tensor in _shared_tensors(model):
            own = names.find(tensor.name)
            if tensor.name in seen:
                yield from _contradictions(seen[tensor.name], tensor, file, "another segment")
                continue
            seen[tensor.name] = tensor
            if own is not None:
                yield from _contradictions(own, tensor, file, "the source")
            elif tensor.name in open_ends or tensor not in (*model.graph.inputs, *model.graph.outputs):
                yield _nameless(tensor, file)


def _first_part(name: str) -> str:
    """TFLite joins the names of what it fused with ";"."""
    return name.split(";")[0]


def _shared_tensors(model: CompiledModel) -> list[Tensor]:
    """The inputs and outputs of the model and of its programs, each once."""
    around = [tensor for op in model.edgetpu_ops for tensor in (*op.inputs, *op.outputs) if tensor is not None]
    return list(dict.fromkeys([*model.graph.inputs, *around, *model.graph.outputs]))


def _open_ends(
    names: _Names, compiled: Sequence[tuple[str, CompiledModel]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the files read and none of them makes, and what they make for others than themselves, by name."""
    read = {tensor.name: tensor for _, model in compiled for tensor in model.graph.inputs}
    made = {tensor.name: tensor for _, model in compiled for tensor in model.graph.outputs}
    inner = {name for name in read if name in made and names.find(name) not in names.source.outputs}
    return (
        {name: tensor for name, tensor in read.items() if name not in made},
        {name: tensor for name, tensor in made.items() if name not in inner},
    )


def _refuse_missing_segments(names: _Names, compiled: Sequence[tuple[str, CompiledModel]]) -> None:
    files = [Path(file).name for file, _ in compiled]
    for file in files:
        absent = [other for other in segments_of(file) if other not in files]
        if absent:
            raise InputError(
                f"A segment is missing: '{file}' is one of several.", hint=f"{_ALL_SEGMENTS} {absent[0]}"
            )
    read, made = _open_ends(names, compiled)
    ends = (
        (read, names.source.inputs, "goes into a given file, but none of them computes it"),
        (made, names.source.outputs, "comes out of a given file, but none of them goes on from it"),
    )
    for open_ends, own, problem in ends:
        inner = sorted(name for name in open_ends if (found := names.find(name)) is not None and found not in own)
        if inner:
            raise InputError(f"A segment is missing: '{inner[0]}' {problem}.", hint=_ALL_SEGMENTS)


def _contradictions(wanted: Tensor, found: Tensor, file: str, other: str) -> Iterator[Finding]:
    """What a tensor of a file has otherwise than the source or another segment."""
    is_renamed = _first_part(wanted.name) != _first_part(found.name)
    rule = verification_rule("boundary-renamed" if is_renamed else "boundary-mismatch")
    pairs = (
        ("shape", str(list(wanted.shape)), str(list(found.shape))),
        ("element type", wanted.dtype.name, found.dtype.name),
        ("quantization", quantization(wanted), quantization(found)),
    )
    for what, expected, measured in pairs:
        if expected != measured:
            finding = rule.finding(tensor=found.name, measured=f"{what} {measured} in {Path(file).name}")
            yield replace(finding, limit=f"{what} {expected} in {other}")


def _nameless(tensor: Tensor, file: str) -> Finding:
    measured = f"{list(tensor.shape)}, {quantization(tensor)} in {Path(file).name}"
    return verification_rule("boundary-renamed").finding(tensor=tensor.name, measured=measured)


def _other_shapes(side: str, wanted: Iterable[Tensor], found: Iterable[Tensor]) -> Iterator[Finding]:
    """Whether the inputs or outputs have other shapes than those of the source, whatever their names."""
    shapes = [sorted(str(list(tensor.shape)) for tensor in dict.fromkeys(tensors)) for tensors in (wanted, found)]
    if shapes[0] != shapes[1]:
        wanted_text, found_text = (", ".join(some[:_MOST_SHOWN]) or "none" for some in shapes)
        finding = verification_rule("boundary-mismatch").finding(measured=f"{side} {found_text}")
        yield replace(finding, limit=f"{side} {wanted_text} in the source")


def _other_order(side: str, names: _Names, wanted: list[Tensor], found: Iterable[Tensor]) -> Iterator[Finding]:
    """Whether one file takes or gives all that the source does, in another order: users go by position."""
    own = [names.find(tensor.name) for tensor in found]
    if None not in own and own != wanted and len(own) == len(wanted) and set(own) == set(wanted):
        order = ", ".join(str(wanted.index(tensor)) for tensor in own[:_MOST_SHOWN] if tensor is not None)
        finding = verification_rule("boundary-mismatch").finding(measured=f"{side} in the order {order}")
        yield replace(finding, limit=f"the {side} of the source in their order")
