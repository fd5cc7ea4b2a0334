"""The verdict on each layer, from its bytes among the parameters and its constants among the instructions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.compiled.verification.data_order import Misplacement
from coralsmith.compiled.verification.layer_differences import Comparison, compare
from coralsmith.compiled.verification.ledger import Evidence
from coralsmith.compiled.verification.placement import Gap, Placement
from coralsmith.compiled.verification.report import ORDER, Difference, LayerVerdict, Status
from coralsmith.compiled.verification.source_layers import SourceLayer

_STORED_ONCE: Final = (
    "another layer of the source has the same parameters, and the compiled file holds them less often: whether "
    "the compiler stores them once for both is not known"
)


@dataclass(frozen=True, eq=False)
class ParameterBlob:
    """The parameters of one program.

    Attributes:
        file: The compiled file.
        package: Index of the package among those of all files.
        program: Kind of the program that brings them along.
        content: The bytes.
    """

    file: str
    package: int
    program: str
    content: bytes


def placed_verdict(
    placement: Placement, blob: ParameterBlob, evidence: Evidence | None, moved: Misplacement | None = None
) -> LayerVerdict:
    """The verdict on a layer that has a place.

    Args:
        placement: Where it is.
        blob: The parameters it is among.
        evidence: What the instructions say; None where there are none.
        moved: The layer on whose wrong side it is, if there is one.
    """
    layer, place = placement.layer, placement.place
    differences: list[Difference] = []
    status: Status = "exact"
    reason = "weights and constants are those of the source, to the bit"
    if not placement.is_exact:
        comparison = compare(placement, blob.content)
        differences = comparison.differences
        status, reason = _status(layer, comparison)
    elif moved is not None:
        differences = [_order(moved)]
        status, reason = "mismatch", "its parameters are exact, but the program runs it at another point"
    if evidence is None:
        evidence = Evidence("unverified", "there are no instructions")
    if evidence.status != "exact":
        differences = [*differences, *evidence.differences]
        if status == "exact":
            status, reason = evidence.status, f"its weights are exact, but {evidence.reason}"
    return _verdict(layer, status, reason, differences, blob, place.start, place.size, evidence.bundle)


def _order(moved: Misplacement) -> Difference:
    """On which side of another layer one is in both files."""
    sides = (f"behind {moved.other.op.name}", f"before {moved.other.op.name}")
    return Difference(ORDER, *(sides if moved.is_needed else reversed(sides)))


def _status(layer: SourceLayer, comparison: Comparison) -> tuple[Status, str]:
    if comparison.is_reordered and not comparison.is_form_certain:
        return "unverified", "its place holds the same weights in an order that is not known"
    if layer.doubt and not comparison.is_form_certain:
        return "unverified", f"the bytes at its place differ, but {layer.doubt}"
    sorts = ", ".join(dict.fromkeys(difference.what for difference in comparison.differences))
    return "mismatch", f"what differs at its place: {sorts}"


def absent_verdict(
    layer: SourceLayer,
    left_over: Sequence[Gap],
    layers: Sequence[SourceLayer],
    stored: Collection[bytes],
) -> LayerVerdict:
    """The verdict on a layer without a place.

    Args:
        layer: The layer.
        left_over: The bytes that belong to no layer.
        layers: All layers without a place.
        stored: The bytes of the layers that were found to the bit.
    """
    if not layer.is_proved:
        return _verdict(layer, "unverified", layer.doubt or "it was not found")
    if layer.packed(layer.forms[0]) in stored:
        return _verdict(layer, "unverified", _STORED_ONCE)
    size = layer.forms[0].size
    longest = max((gap.place.size for gap in left_over), default=0)
    gap = _only_place(layer, left_over, layers)
    if not stored:
        return _verdict(layer, "mismatch", "neither it nor any other layer is in the compiled file")
    if gap is not None:
        difference = Difference("size", f"{size:,} bytes", f"{gap.place.size:,} bytes")
        reason = "between the layers before and behind it the compiled file has one of another size"
        return _verdict(layer, "mismatch", reason, [difference])
    if longest < size - 4 * layer.forms[0].rows:
        return _verdict(
            layer, "mismatch", "it is not in the compiled file: all large parts belong to other layers"
        )
    return _verdict(layer, "unverified", "it was not found, and nothing tells where it should be")


def _only_place(layer: SourceLayer, left_over: Sequence[Gap], layers: Sequence[SourceLayer]) -> Gap | None:
    """The bytes between the layers around it, if it is the only one that is missing there."""
    for gap in left_over:
        before = -1 if gap.before is None else gap.before.index
        after = float("inf") if gap.after is None else gap.after.index
        if [other for other in layers if before < other.index < after] == [layer]:
            return gap
    return None


def on_cpu_verdict(layer: SourceLayer, file: str, differences: Sequence[Difference]) -> LayerVerdict:
    """The verdict on a layer that the compiler left on the CPU, as it was."""
    status: Status = "mismatch" if differences else "exact"
    reason = "it stayed on the CPU and differs" if differences else "it stayed on the CPU, unchanged"
    return LayerVerdict(
        layer.index, layer.op.kind, layer.op.name, status, reason, file, "cpu", None, None, None, list(differences)
    )


def _verdict(
    layer: SourceLayer,
    status: Status,
    reason: str,
    differences: Sequence[Difference] = (),
    blob: ParameterBlob | None = None,
    offset: int | None = None,
    size: int | None = None,
    bundle: int | None = None,
) -> LayerVerdict:
    return LayerVerdict(
        layer.index,
        layer.op.kind,
        layer.op.name,
        status,
        reason,
        None if blob is None else blob.file,
        None if blob is None else blob.program,
        offset,
        size,
        bundle,
        list(differences),
    )


def in_program_order(placements: Sequence[Placement], blobs: Sequence[int]) -> list[SourceLayer]:
    """The layers of one program in the order in which it runs them.

    Those among the cached and those among the streamed parameters are each in that order; where a program has
    both, they are merged by their order in the source.

    Args:
        placements: All placements, in order.
        blobs: The numbers of the parameters that belong to the program.
    """
    queues = [[p.layer for p in placements if p.place.program == number] for number in blobs]
    order: list[SourceLayer] = []
    while any(queues):
        queue = min((queue for queue in queues if queue), key=lambda queue: queue[0].index)
        order.append(queue.pop(0))
    return order
