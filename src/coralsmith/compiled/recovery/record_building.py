"""Says of each operator of a recovered model where it is from and what of it is exact."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from coralsmith.compiled.recovery.record import OperatorSource, RecoveredOperator, RecoveredTensor
from coralsmith.compiled.recovery.recovery import Recovery
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.graph.model import Op


def operator_records(recovery: Recovery, segments: Sequence[Segment]) -> list[RecoveredOperator]:
    """One record for each operator, in execution order."""
    origin = {twin: op for op, twin in recovery.rebuilt.twins.items()}
    return [_record(op, origin.get(op), recovery, segments) for op in recovery.rebuilt.graph.ops]


def _record(op: Op, original: Op | None, recovery: Recovery, segments: Sequence[Segment]) -> RecoveredOperator:
    kind = op.custom_code or op.kind
    if original is None:
        origin: OperatorSource = "topology" if op in recovery.rebuilt.carriers else "file"
        return RecoveredOperator(kind, op.name, origin, None, None, 0, "", 0, 0, 0, None)
    node = recovery.numbers.node[original.output]
    quant = op.output.quant
    output = None
    if quant is not None:
        free = node in recovery.solved.chosen
        output = RecoveredTensor(float(quant.scale[0]), int(quant.zero_point[0]), "free" if free else "read")
    placed = next((layer for layer in recovery.reading.tiling if layer.op is original), None)
    if placed is None:
        source: OperatorSource = "instructions" if original in recovery.reading.found.blocks else "topology"
        return RecoveredOperator(kind, op.name, source, None, None, 0, "", 0, 0, 0, output)
    form, off = placed.form, recovery.rebuilt.off[original]
    taps = prod(form.filter_shape[1:-1]) if len(form.filter_shape) > 2 else 1
    return RecoveredOperator(
        kind=kind,
        name=op.name,
        source="parameters",
        file=segments[placed.segment].name,
        offset=placed.start,
        bytes=form.size,
        tap_order=recovery.tap_orders[original],
        lost_taps=taps - form.taps,
        multipliers=len(off),
        multipliers_off=int((off > 0).sum()),
        output=output,
    )
