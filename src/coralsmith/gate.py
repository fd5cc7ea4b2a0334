"""The accuracy gate: one way to quantize after the other is tried until one loses little enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from coralsmith.errors import CoralsmithError, MissingExtraError, UsageError
from coralsmith.evaluation.evaluate import Comparison
from coralsmith.evaluation.ledger import Entry
from coralsmith.findings import Finding
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.quantizer import Quantized
from coralsmith.report.accuracy import GateRecord, RungRecord
from coralsmith.rungs import Rung

EXCEEDED: Final = "accuracy-gate"
SKIPPED: Final = "rung-skipped"


@dataclass(frozen=True, eq=False)
class Climb:
    """The way that was taken.

    Attributes:
        quantized: Its result.
        entry: What was measured of it.
        record: All that were tried.
        findings: Rungs that were skipped; an error where none is inside the limit.
    """

    quantized: Quantized
    entry: Entry
    record: GateRecord
    findings: list[Finding]


def climb(
    quantize: Callable[[Rung], Quantized],
    measure: Callable[[Quantized], Entry],
    limit: float,
    ladder: Sequence[Rung],
    *,
    strict: bool = False,
    progress: Progress = SILENT,
) -> Climb:
    """Try one rung after the other and stop at the first whose drop is inside the limit.

    Where none is, the one with the smallest drop is taken, and an error finding says so. A dearer rung that fails
    is passed over, and that is said too.

    Args:
        quantize: Runs a rung.
        measure: Measures what came of it, against the float model.
        limit: Largest drop of AP.
        ladder: The rungs, cheapest first.
        strict: Hold the upper end of the drop's 95 % interval against the limit instead of the drop.
        progress: Told of every rung.

    Raises:
        UsageError: Not one rung could be tried.
        CoralsmithError: The first that was tried failed.
    """
    tried: list[tuple[RungRecord, Quantized, Entry]] = []
    records: list[RungRecord] = []
    for rung in ladder:
        missing = [package for package in rung.packages if find_spec(package) is None]
        if missing:
            error = MissingExtraError(rung.extra, rung.title.capitalize())
            records.append(RungRecord(rung.name, rung.title, skipped=f"{error.message} {error.hint}"))
            continue
        progress.step(f"Quantize: {rung.title}")
        start = time.perf_counter()
        try:
            quantized = quantize(rung)
        except CoralsmithError as error:
            if not tried:
                raise
            records.append(RungRecord(rung.name, rung.title, skipped=f"{error.message} {error.hint}".strip()))
            continue
        seconds = round(time.perf_counter() - start, 3)
        entry = measure(quantized)
        assert entry.comparison is not None, "the float model was measured too"
        record = _record(rung, seconds, entry, entry.comparison, limit, strict)
        progress.note(f"drop {entry.comparison.drop:+.4f}, allowed {limit:g}")
        records.append(record)
        tried.append((record, quantized, entry))
        if record.passed:
            break
    if not tried:
        raise UsageError("No way to quantize could be tried.", hint=records[0].skipped if records else "")
    chosen, quantized, entry = tried[-1] if tried[-1][0].passed else min(tried, key=lambda one: _loss(one[0]))
    gate = GateRecord(limit, strict, chosen.passed, chosen.name, tuple(records))
    return Climb(quantized, entry, gate, _findings(gate, chosen))


def _record(
    rung: Rung, seconds: float, entry: Entry, comparison: Comparison, limit: float, strict: bool
) -> RungRecord:
    row = entry.row()
    compared = comparison.drop_interval[1] if strict else comparison.drop
    return RungRecord(
        rung.name,
        rung.title,
        seconds,
        row.ap,
        row.drop,
        row.drop_interval,
        row.agreement,
        passed=compared <= limit,
    )


def _loss(record: RungRecord) -> float:
    assert record.drop is not None, "only of rungs that were tried"
    return record.drop


def _findings(gate: GateRecord, chosen: RungRecord) -> list[Finding]:
    skipped = [
        Finding(
            SKIPPED, "warning", f"{rung.title.capitalize()} was not tried. {rung.skipped}", evidence="measured"
        )
        for rung in gate.rungs
        if rung.skipped
    ]
    if gate.passed:
        return skipped
    assert chosen.drop is not None and chosen.drop_interval is not None, "it was tried"
    what = "the upper end of the interval of its drop" if gate.strict else "its drop"
    low, high = chosen.drop_interval
    return [
        Finding(
            EXCEEDED,
            "error",
            f"int8 loses more accuracy than allowed: of all that was tried, '{chosen.name}' loses least, and "
            f"{what} is outside.",
            fix="Give more, and more typical, images with --images; find the worst layers with --explain; or "
            "allow more with --max-ap-drop.",
            measured=f"{chosen.drop:+.4f} AP (95 % interval {low:+.4f} to {high:+.4f})",
            limit=f"{gate.max_ap_drop:g}",
            evidence="measured",
        ),
        *skipped,
    ]
