"""The part of the page that shows what was changed in the model, with the proof of each change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from coralsmith.report import wording
from coralsmith.report.document import ConversionReport, RepairRecord
from coralsmith.report.html_elements import Markup, chip, details, element, facts, joined, section, tensor_name

_PLACES_SHOWN: Final = 3


def repairs_section(report: ConversionReport) -> Markup | None:
    """One card a kind of repair, with every place it was made in; None where nothing was repaired."""
    if not report.repairs:
        return None
    kinds: dict[tuple[str, str, bool], list[RepairRecord]] = {}
    for repair in report.repairs:
        kinds.setdefault((repair.name, repair.reason, repair.exact), []).append(repair)
    lead = "Each was run before and after on the CPU; exact ones agree to float rounding."
    cards = element("ol", *(_card(repairs) for repairs in kinds.values()), class_="cards")
    return section("repairs", "Repairs", cards, lead=lead)


def _card(repairs: Sequence[RepairRecord]) -> Markup:
    """Repairs of one kind; the proof is that of the worst of them."""
    first = repairs[0]
    label = chip("exact", "measured") if first.exact else chip("approximate", "warning")
    times = f" {len(repairs)} times" if len(repairs) > 1 else None
    changes = [_change(repair) for repair in repairs if repair.before or repair.after]
    shown, more = changes[:_PLACES_SHOWN], changes[_PLACES_SHOWN:]
    return element(
        "li",
        element("h3", first.name, " ", label, times),
        element("p", first.reason, class_="reason"),
        *shown,
        details(f"{len(more)} more", *more) if more else None,
        facts(_proof(repairs)),
    )


def _change(repair: RepairRecord) -> Markup:
    return element("p", _names(repair.before), " → ", _names(repair.after), class_="change")


def _names(names: Sequence[str]) -> Markup:
    if not names:
        return joined("nothing")
    return joined(tensor_name(names[0]), *(part for name in names[1:] for part in (", ", tensor_name(name))))


def _proof(repairs: Sequence[RepairRecord]) -> Iterator[tuple[str, str]]:
    differences = [r.worst_difference for r in repairs if r.worst_difference is not None]
    ratios = [r.sqnr_db for r in repairs if r.sqnr_db is not None]
    if differences:
        yield "worst difference", f"{wording.number(max(differences))} of the output's range"
    if ratios:
        yield "lowest SQNR", wording.decibels(min(ratios))
