"""Fits the constants of the latency estimate to published latencies: relative errors, no negative constant.

All constants are multipliers of amounts that are known from a model's graph, so each fit is a linear one. Large
errors count by their size, not by its square (iteratively reweighted least squares), so that one odd row does not
bend the others.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.edgetpu.rebuild import load_models
from coralsmith.edgetpu.features import weighted
from coralsmith.edgetpu.latency import LatencyParts, band, instruction_bytes, latency_parts
from coralsmith.edgetpu.latency_constants import BusConstants, Constants
from coralsmith.edgetpu.work import Work

FOLDER = Path(__file__).parent
STEPS = ("pointwise", "depthwise", "strided depthwise", "elementwise")
CONVOLUTION_CYCLES = 2.0  # exact in published stacks of convolutions
AMOUNTS = ("layers", "output groups", "other operators", "softmax operators", "activations")

# Programs of older compilers hold next to nothing for a softmax; those of version 16 hold tens of kilobytes.
NEWER_COMPILER = ("conv_", "small_", "colour_", "dense_", "gabor_", "looming_")

COVERED = 0.9  # share of the residuals that the band is made to hold
_LEAST_ERROR = 0.03  # published figures are rounded to about this
_MOST_ROUNDS = 12
_DIGITS = 4


@dataclass(frozen=True)
class Row:
    """A published latency of a model that is at hand."""

    model: str
    ms: float
    work: Work


@dataclass(frozen=True)
class LeftOut:
    """A row as the fit to all other rows sees it."""

    row: Row
    estimate: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Relative error of the estimate."""
        return self.estimate / self.row.ms - 1

    @property
    def is_inside(self) -> bool:
        """Whether the published latency lies inside the band."""
        return self.low <= self.row.ms <= self.high


@cache
def read(name: str) -> Any:
    """The content of a data file beside this one."""
    return json.loads((FOLDER / name).read_text("utf-8"))


def published(bus: str, *, fitted: bool = True) -> list[Row]:
    """The published rows of one bus, those of the fit or those that are only shown."""
    models = load_models()
    rows = [row for row in read("published_latencies.json")["rows"] if row["bus"] == bus]
    return [
        Row(row["model"], row["ms"], by_older_compiler(models[row["model"]]))
        for row in rows
        if ("not_fitted" not in row) is fitted
    ]


def by_older_compiler(work: Work) -> Work:
    """The same work without the softmax programs of newer compilers: Coral's models are older."""
    return dataclasses.replace(work, features={k: v for k, v in work.features.items() if k != "softmax operators"})


def fit_document() -> dict[str, Any]:
    """The content of `latency.json`."""
    cycles, instructions = fit_cycles(), fit_instructions()
    general = Constants(cycles, instructions["program"], without_program(instructions), {})
    return {
        "about": "Made by python -m benchmarks.edgetpu.latency --fit; do not edit by hand.",
        "evidence": "cycles and instruction bytes that the compiler recorded in published compiled models, and "
        "latencies published by Coral; see docs/latency.md",
        "cycles_per_step": cycles,
        "instruction_bytes": instructions,
        "buses": {bus: dataclasses.asdict(BusFit(bus, general).constants()) for bus in ("usb", "pcie")},
    }


def fit_cycles(without: str | None = None) -> dict[str, float]:
    """Cycles of a step of each kind; those of convolutions, and of dense layers as the same thing, are given."""
    recorded = [(load_models()[m].features, p["cycles"]) for m, p in _programs(without) if p["cycles"]]
    given = {"convolution": CONVOLUTION_CYCLES, "dense": CONVOLUTION_CYCLES}
    steps = [[features.get(kind, 0) for kind in STEPS] for features, _ in recorded]
    rest = [cycles - weighted(features, given) for features, cycles in recorded]
    found = relative_fit(np.array(steps), rest, [cycles for _, cycles in recorded])
    return _rounded({**given, **dict(zip(STEPS, found, strict=True))})


def fit_instructions(without: str | None = None) -> dict[str, float]:
    """Bytes of an empty program and of each amount."""
    recorded = [(m, p["instruction_bytes"]) for m, p in _programs(without) if p["instruction_bytes"]]
    models = {m: load_models()[m] for m, _ in recorded}
    rows = []
    for model, _ in recorded:
        work = models[model] if model.startswith(NEWER_COMPILER) else by_older_compiler(models[model])
        rows.append([1, *(work.features.get(name, 0) for name in AMOUNTS)])
    found = relative_fit(np.array(rows), [b for _, b in recorded], rounds=1)
    return _rounded(dict(zip(("program", *AMOUNTS), found, strict=True)), 6)


def _programs(without: str | None) -> list[tuple[str, dict[str, Any]]]:
    programs = read("recorded_programs.json")["programs"]
    return [(p["model"], p) for p in programs if "not_fitted" not in p and p["model"] != without]


class BusFit:
    """The fit of one bus to its published rows, and to all but some of them.

    Args:
        bus: usb or pcie.
        general: Cycles and instruction bytes; its buses are not used.
    """

    def __init__(self, bus: str, general: Constants) -> None:
        self.bus, self.general = bus, general
        self.rows = published(bus)
        self._solved: dict[frozenset[str], BusConstants] = {}

    def constants(self) -> BusConstants:
        """Constants, band and errors."""
        left_out = self.left_out()
        return dataclasses.replace(
            self._with_band(frozenset()),
            leave_one_out_error=round(float(np.mean([abs(one.error) for one in left_out])), _DIGITS),
            leave_one_out_coverage=round(float(np.mean([one.is_inside for one in left_out])), _DIGITS),
        )

    def left_out(self) -> list[LeftOut]:
        """Each row estimated, and its band made, from the other rows alone."""
        result = []
        for row in self.rows:
            fitted = self._with_band(frozenset({row.model}))
            parts = self._parts(row, fitted)
            result.append(LeftOut(row, parts.total, *band(row.work, parts, fitted)))
        return result

    def solve(self, without: frozenset[str] = frozenset()) -> BusConstants:
        """The constants that fit best, without a band."""
        if without not in self._solved:
            self._solved[without] = self._solve([row for row in self.rows if row.model not in without])
        return self._solved[without]

    def _with_band(self, without: frozenset[str]) -> BusConstants:
        """The fit to some rows; its band holds most of them when each is estimated from the others."""
        fitted = self.solve(without)
        rows = [row for row in self.rows if row.model not in without]
        estimates = [self._parts(row, self.solve(without | {row.model})).total for row in rows]
        residuals = sorted(abs(math.log(row.ms / ms)) for row, ms in zip(rows, estimates, strict=True))
        parts = [self._parts(row, fitted) for row in rows]
        names = [field.name for field in dataclasses.fields(LatencyParts)]
        return dataclasses.replace(
            fitted,
            band=round(residuals[math.ceil(COVERED * len(residuals)) - 1], _DIGITS),
            fitted_up_to={name: round(max(getattr(p, name) for p in parts), _DIGITS) for name in names},
        )

    def _solve(self, rows: Sequence[Row]) -> BusConstants:
        multiplication = cpu_ms_per_million_multiplications() if self.bus == "usb" else None
        table, rest = [], []
        for row in rows:
            work = row.work
            moved = work.input_bytes + work.output_bytes + instruction_bytes(work.features, self.general)
            cycles = weighted(work.features, self.general.cycles)
            amounts = [1.0, cycles / 1e6, moved / 1e6, work.streamed_bytes / 1e6]
            table.append([*amounts, work.host_postprocess, work.host_elements / 1e6])
            rest.append(row.ms - (multiplication or 0.0) * work.host_multiplications / 1e6)
        found = relative_fit(np.array(table), rest, [row.ms for row in rows])
        overhead, per_cycle, transfer, streamed, postprocess, elements = (round(x, _DIGITS) for x in found)
        return BusConstants(
            overhead_ms=overhead,
            ms_per_million_cycles=per_cycle,
            ms_per_megabyte=transfer,
            ms_per_streamed_megabyte=streamed,
            cpu_ms_per_million_multiplications=multiplication,
            cpu_ms_per_million_elements=elements if self.bus == "usb" else None,
            postprocess_ms=postprocess,
            band=0.0,
            fitted_up_to={},
            shortest=min(row.ms for row in rows),
            rows=len(rows),
            leave_one_out_error=0.0,
            leave_one_out_coverage=0.0,
        )

    def _parts(self, row: Row, fitted: BusConstants) -> LatencyParts:
        parts = latency_parts(row.work, self.general, fitted)
        assert parts is not None, f"{row.model}: the time of its operators on the CPU is not known"
        return parts


def cpu_ms_per_million_multiplications() -> float:
    """What Coral's desktop needed without an Edge TPU: the median over its published models."""
    multiplied = read("models.json")
    rates = [
        row["ms"] / multiplied[row["model"]]["multiplications"] * 1e6
        for row in read("published_latencies.json")["rows"]
        if row["bus"] == "desktop cpu"
    ]
    return round(float(np.median(rates)), _DIGITS)


def relative_fit(
    table: np.ndarray, wanted: Sequence[float], scale: Sequence[float] | None = None, rounds: int = _MOST_ROUNDS
) -> list[float]:
    """Non-negative constants with the least sum of relative errors.

    Args:
        table: Amounts, [rows, constants].
        wanted: What the constants times the amounts should give, [rows].
        scale: What errors are relative to, [rows]; `wanted` if not given.
        rounds: Rounds of reweighting; after one it is the least sum of squares.
    """
    target = np.array(wanted, float)
    size = target if scale is None else np.array(scale, float)
    amounts, target = table / size[:, None], target / size
    trust = np.ones(len(target))
    found = np.zeros(table.shape[1])
    for _ in range(rounds):
        before, found = found, _non_negative(amounts * trust[:, None], target * trust)
        if np.allclose(found, before, rtol=1e-7):
            break
        trust = 1 / np.sqrt(np.maximum(np.abs(amounts @ found - target), _LEAST_ERROR))
    return [float(x) for x in found]


def _non_negative(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Non-negative least squares by Lawson and Hanson's active set method."""
    units = np.linalg.norm(table, axis=0)
    units[units == 0] = 1
    table = table / units
    count = table.shape[1]
    used, found = np.zeros(count, bool), np.zeros(count)
    while True:
        gradient = np.where(used, -np.inf, table.T @ (wanted - table @ found))
        if used.all() or gradient.max() < 1e-10:
            return found / units
        used[np.argmax(gradient)] = True
        while True:
            trial = np.zeros(count)
            trial[used] = np.linalg.lstsq(table[:, used], wanted, rcond=None)[0]
            if trial[used].min() > 0:
                break
            limiting = used & (trial <= 0)
            step = (found[limiting] / (found[limiting] - trial[limiting])).min()
            found = found + step * (trial - found)
            used &= found > 1e-12
        found = trial


def without_program(instructions: Mapping[str, float]) -> dict[str, float]:
    """The bytes by amount, without those of an empty program."""
    return {key: value for key, value in instructions.items() if key != "program"}


def _rounded(values: Mapping[str, float], digits: int = _DIGITS) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}
