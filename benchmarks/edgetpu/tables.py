"""The tables of the latency benchmark, for the terminal and for docs/latency.md."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.edgetpu.fit import (
    NEWER_COMPILER,
    BusFit,
    LeftOut,
    by_older_compiler,
    fit_cycles,
    fit_instructions,
    published,
    read,
    without_program,
)
from benchmarks.edgetpu.rebuild import load_models
from benchmarks.edgetpu.sweeps import Measured, sweeps
from coralsmith.edgetpu.features import weighted
from coralsmith.edgetpu.latency import bus_latency, instruction_bytes
from coralsmith.edgetpu.latency_constants import Bus, Constants, constants

_TITLES = {"usb": "USB Accelerator on USB 3 of a desktop", "pcie": "Dev Board (PCIe)"}


@dataclass(frozen=True)
class Table:
    """A table and what it sums up to."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    remarks: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table and its remarks as Markdown."""
        lines = [self.header, ("---",) + ("---:",) * (len(self.header) - 1), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n".join([table, "", *(f"{remark}  " for remark in self.remarks)]).rstrip() + "\n"


@cache
def bus_table(bus: Bus) -> Table:
    """Each published row of one bus beside the estimate by the fit to the others."""
    rows = BusFit(bus, constants()).left_out()
    errors, inside = [abs(one.error) for one in rows], [one.is_inside for one in rows]
    mean, median, largest = (_percent(value) for value in (np.mean(errors), np.median(errors), max(errors)))
    remarks = [
        f"Mean error {mean}, median {median}, largest {largest}.",
        f"{sum(inside)} of {len(rows)} inside the band: {_percent(np.mean(inside))}.",
    ]
    for row in published(bus, fitted=False):
        estimate = bus_latency(row.work, bus)
        assert estimate is not None
        errors.append(abs(estimate.estimate / row.ms - 1))
        inside.append(estimate.low <= row.ms <= estimate.high)
        remarks.append(
            f"Not fitted: {row.model}, published {row.ms:g}, estimate {estimate.estimate:.1f}: {_why(row.model)}."
        )
    remarks.append(f"With it: mean error {_percent(np.mean(errors))}, inside {_percent(np.mean(inside))}.")
    return Table(
        f"{_TITLES[bus]}: each row estimated by the fit to the others (ms)",
        ("model", "published", "estimate", "error", "band", "inside"),
        [_line(one) for one in rows],
        tuple(remarks),
    )


def programs_table() -> Table:
    """Cycles and instruction bytes, each predicted by constants that have not seen it."""
    models, lines = load_models(), []
    errors: dict[str, list[float]] = {"cycles": [], "instruction_bytes": []}
    for program in read("recorded_programs.json")["programs"]:
        name = program["model"]
        work = models[name] if name.startswith(NEWER_COMPILER) else by_older_compiler(models[name])
        instructions = fit_instructions(without=name)
        general = Constants({}, instructions["program"], without_program(instructions), {})
        predicted = {
            "cycles": weighted(work.features, fit_cycles(without=name)),
            "instruction_bytes": instruction_bytes(work.features, general),
        }
        cells = [name]
        for key, value in predicted.items():
            recorded = program[key]
            error = value / recorded - 1 if recorded else 0.0
            if recorded and "not_fitted" not in program:
                errors[key].append(abs(error))
            cells += [f"{recorded:,}", f"{100 * error:+.0f} %"] if recorded else ["", ""]
        lines.append(tuple(cells))
    means = {key: f"mean error {_percent(np.mean(values))} over {len(values)}" for key, values in errors.items()}
    return Table(
        "What the compiler recorded, and the error of the prediction by the others",
        ("model", "cycles", "error", "instruction bytes", "error"),
        lines,
        (f"Cycles: {means['cycles']} programs; instruction bytes: {means['instruction_bytes']}.",),
    )


def sweeps_table(shared: Path) -> Table:
    """Errors on kinds of stacks, none of which the fit has seen."""
    measured = list(sweeps(shared))
    groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for one in measured:
        kind = "convolutions" if one.kind == "conv" else "dense layers"
        groups[(f"{one.layers + 1} {kind}", "streamed" if one.streamed else "cached")].append(one)
    rows = [(stack, parameters, *_summary(ones)) for (stack, parameters), ones in sorted(groups.items())]
    everything = _percent(np.mean([one.is_inside for one in measured]))
    return Table(
        f"{len(measured)} measured stacks over PCIe (not in the fit)",
        ("stack", "parameters", "measured", "mean error", "mean |error|", "inside"),
        rows,
        (f"Inside the band in all: {everything}.",),
    )


def filled(page: str) -> str:
    """A page with the tables between its markers made anew."""
    for name, table in (("programs", programs_table()), ("usb", bus_table("usb")), ("pcie", bus_table("pcie"))):
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        content = table.markdown()
        page, count = marked.subn(lambda match, content=content: match[1] + content + match[2], page)  # type: ignore[misc]
        assert count == 1, f"the page has no place for the table {name}"
    return page


def _summary(ones: list[Measured]) -> tuple[str, str, str, str]:
    errors = [one.error for one in ones]
    return (
        str(len(ones)),
        _percent(np.mean(errors), "+"),
        _percent(np.mean(np.abs(errors))),
        _percent(np.mean([one.is_inside for one in ones])),
    )


def _line(one: LeftOut) -> tuple[str, ...]:
    return (
        one.row.model,
        f"{one.row.ms:g}",
        f"{one.estimate:.1f}",
        f"{100 * one.error:+.0f} %",
        f"{one.low:.1f} to {one.high:.1f}",
        "yes" if one.is_inside else "no",
    )


def _why(model: str) -> str:
    rows = read("published_latencies.json")["rows"]
    reason: str = next(row["not_fitted"] for row in rows if row["model"] == model and "not_fitted" in row)
    return reason


def _percent(value: float | np.floating, sign: str = "") -> str:
    return f"{100 * float(value):{sign}.1f} %"
