"""How long one inference takes on the Edge TPU, as an estimate with a band.

The time is a sum of parts, each of one physical cause: a fixed overhead; the compiler's own estimate of cycles;
the input, the output and the instructions, which are all sent again with every inference; parameters that do not
stay on the chip; operators on the CPU. The constants in `latency.json` are fitted to published latencies by
``python -m benchmarks.edgetpu.latency --fit``; nothing was run on a device for it. How the time divides among the
parts is what the fit makes of it: only their sum has been compared with measurements.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from coralsmith.edgetpu.features import Features, multiplications, operator_features, weighted
from coralsmith.edgetpu.latency_constants import BUSES, Bus, BusConstants, Constants, constants
from coralsmith.edgetpu.memory import ParameterMemory, parameter_memory
from coralsmith.edgetpu.work import Work, host_elements, work_of
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.postprocess_limits import CUSTOM_CODE

_DEVICES: Final = {"usb": "USB Accelerator on a desktop", "pcie": "Dev Board"}
_SLOWEST: Final = 10
_DIGITS: Final = 3

# Stacks of wide convolutions whose activations do not fit took 3 to 5 times as long for each streamed byte as
# dense layers do: measured on 65 stacks (Jorgitou98/EdgeTPU-QuantRL-Evaluation). Which factor cannot be foretold.
_SENT_AT_MOST: Final = 5

# No estimate where the excess over the models of the fit alone widens the band to a factor of ten to either side.
_FARTHEST: Final = math.log(10)


@dataclass(frozen=True)
class LatencyParts:
    """Where the milliseconds of an estimate go.

    Attributes:
        overhead: Of every inference.
        compute: Cycles on the Edge TPU.
        transfers: Input to and output from the chip.
        instructions: The program, sent with every inference.
        streamed_parameters: Parameters that do not stay on the chip.
        cpu: Operators on the CPU of the machine that was measured, those of unknown work left out.
    """

    overhead: float
    compute: float
    transfers: float
    instructions: float
    streamed_parameters: float
    cpu: float

    @property
    def total(self) -> float:
        """All of them together."""
        return float(sum(vars(self).values()))


@dataclass(frozen=True)
class LatencyEstimate:
    """Milliseconds of one inference, and the band they lie in.

    Attributes:
        estimate: The sum of the parts.
        low: Lower end of the band.
        high: Upper end of the band; about nine in ten published latencies lie inside.
        parts: Where the time goes.
        rows: Number of published latencies that the constants are fitted to.
        leave_one_out_error: Mean relative error on a published latency that the fit has not seen.
    """

    estimate: float
    low: float
    high: float
    parts: LatencyParts
    rows: int
    leave_one_out_error: float


@dataclass(frozen=True)
class OperatorTime:
    """One operator's share in the estimate over USB.

    Attributes:
        index: Position in execution order.
        kind: Operator kind.
        name: Name of its first output.
        milliseconds: Its cycles, instructions and streamed parameters, or its time on the CPU.
        share: Of the estimate, 0 to 1.
    """

    index: int
    kind: str
    name: str
    milliseconds: float
    share: float


@dataclass(frozen=True)
class Latency:
    """Latency by the way the Edge TPU is attached; None where it is not estimated.

    Attributes:
        usb: USB Accelerator on USB 3.
        pcie: PCIe, as on Coral's Dev Board.
        evidence: What the estimate rests on, and what it leaves out.
        slowest: The operators that take longest, at most ten.
    """

    usb: LatencyEstimate | None
    pcie: LatencyEstimate | None
    evidence: str
    slowest: tuple[OperatorTime, ...] = ()


def estimate_latency(
    graph: Graph,
    mapped: Iterable[int],
    memory: ParameterMemory | None = None,
    *,
    uncertain: Iterable[int] = (),
    as_if_quantized: bool = False,
) -> Latency:
    """Estimate the latency of one inference.

    Args:
        graph: The model; a float one is taken as the int8 model that it will be.
        mapped: Indices of the operators on the Edge TPU; all others run on the CPU.
        memory: Parameter memory of those operators, if it is known already.
        uncertain: Indices of operators of which it is not known where they run. The estimate takes them to run on
            the Edge TPU, the band holds both answers.
        as_if_quantized: As in `parameter_memory`.

    Returns:
        An estimate over USB and over PCIe; none where nothing is known to run on the Edge TPU, where it would lie
        far beyond the models of the fit or, over PCIe, where operators on the CPU take time that is not known.
    """
    sure = set(mapped)
    unsure = set(uncertain) - sure
    if not sure:
        known = "is known to run" if unsure else "runs"
        return not_estimated(f"nothing {known} on the Edge TPU")
    memory = memory or parameter_memory(graph, sure, as_if_quantized=as_if_quantized)
    latency = _estimate(graph, sure, memory)
    if not unsure:
        return latency
    everything = sure | unsure
    best = _estimate(graph, everything, parameter_memory(graph, everything, as_if_quantized=as_if_quantized))
    remark = f"operators of unknown support ({len(unsure)}) are taken to run on it; the band holds both answers"
    return Latency(
        _spanning(best.usb, latency.usb),
        _spanning(best.pcie, latency.pcie),
        f"{best.evidence}; {remark}",
        best.slowest,
    )


def _estimate(graph: Graph, chosen: set[int], memory: ParameterMemory) -> Latency:
    work = work_of(graph, chosen, memory)
    usb, pcie = (bus_latency(work, bus) for bus in BUSES)
    slowest = () if usb is None else _slowest(graph, chosen, memory, work, usb)
    return Latency(usb, pcie, _evidence(work), slowest)


def _spanning(estimate: LatencyEstimate | None, other: LatencyEstimate | None) -> LatencyEstimate | None:
    """An estimate whose band holds that of another one; None where one of them is not known."""
    if estimate is None or other is None:
        return None
    low, high = min(estimate.low, other.low), max(estimate.high, other.high)
    return dataclasses.replace(estimate, low=low, high=high)


def not_estimated(reason: str) -> Latency:
    """No estimate, and why."""
    return Latency(None, None, f"not estimated: {reason}")


def bus_latency(work: Work, bus: Bus) -> LatencyEstimate | None:
    """The estimate over one bus; None where time on the CPU is not known, or far beyond the models of the fit."""
    known = constants().buses[bus]
    parts = latency_parts(work, constants(), known)
    if parts is None or excess(parts, known) > _FARTHEST:
        return None
    low, high = band(work, parts, known)
    return LatencyEstimate(
        estimate=round(parts.total, _DIGITS),
        low=round(low, _DIGITS),
        high=round(high, _DIGITS),
        parts=LatencyParts(**{name: round(value, _DIGITS) for name, value in vars(parts).items()}),
        rows=known.rows,
        leave_one_out_error=known.leave_one_out_error,
    )


def latency_parts(work: Work, general: Constants, bus: BusConstants) -> LatencyParts | None:
    """Milliseconds of each part; None where operators on the CPU take time that is not known."""
    host = cpu_ms(work.host_multiplications, work.host_elements, bus)
    if host is None:
        return None
    megabytes = (work.input_bytes + work.output_bytes) / 1e6
    return LatencyParts(
        overhead=bus.overhead_ms,
        compute=weighted(work.features, general.cycles) / 1e6 * bus.ms_per_million_cycles,
        transfers=megabytes * bus.ms_per_megabyte,
        instructions=instruction_bytes(work.features, general) / 1e6 * bus.ms_per_megabyte,
        streamed_parameters=work.streamed_bytes / 1e6 * bus.ms_per_streamed_megabyte,
        cpu=host + work.host_postprocess * bus.postprocess_ms,
    )


def instruction_bytes(features: Features, general: Constants) -> float:
    """Predicted bytes of the program that runs one inference."""
    return general.program_bytes + weighted(features, general.instruction_bytes)


def cpu_ms(multiplied: int, elements: int, bus: BusConstants) -> float | None:
    """Milliseconds of operators on the CPU; None where that is not known."""
    if not multiplied and not elements:
        return 0.0
    if bus.cpu_ms_per_million_multiplications is None or bus.cpu_ms_per_million_elements is None:
        return None
    return (
        multiplied / 1e6 * bus.cpu_ms_per_million_multiplications
        + elements / 1e6 * bus.cpu_ms_per_million_elements
    )


def band(work: Work, parts: LatencyParts, bus: BusConstants) -> tuple[float, float]:
    """Where the latency lies: as far off as most published ones were, farther where no model of the fit was.

    The excess over the models of the fit widens the band; so does a total below the shortest latency of the fit.
    Parameters of which it is not known whether they are sent, or how often, move its ends.
    """
    total = parts.total
    width = bus.band + excess(parts, bus)
    if total < bus.shortest:
        width += math.log(bus.shortest / total)
    less = work.streamed_bytes - work.streamed_low
    more = work.streamed_high - work.streamed_bytes
    more += (_SENT_AT_MOST - 1) * min(work.streamed_high, work.crowded_bytes)
    per_byte = bus.ms_per_streamed_megabyte / 1e6
    return (total - less * per_byte) * math.exp(-width), (total + more * per_byte) * math.exp(width)


def excess(parts: LatencyParts, bus: BusConstants) -> float:
    """How far an estimate lies beyond the models of the fit, as a natural logarithm; 0 where it does not.

    Each part counts with the logarithm of how many times it exceeds the greatest one of the fit, as far as it
    makes up the total.
    """
    logarithms = 0.0
    for name, value in vars(parts).items():
        limit = bus.fitted_up_to.get(name, 0.0)
        if value > limit:
            logarithms += value / parts.total * math.log(value / limit if limit > 0 else math.e)
    return logarithms


def _slowest(
    graph: Graph, chosen: set[int], memory: ParameterMemory, work: Work, usb: LatencyEstimate
) -> tuple[OperatorTime, ...]:
    """The operators that take longest over USB; streamed bytes are shared out among what may be streamed."""
    known, bus = constants(), constants().buses["usb"]
    sizes = {layer.index: layer.low for layer in memory.layers if layer.placement != "cached"}
    streamed = work.streamed_bytes / 1e6 * bus.ms_per_streamed_megabyte / max(1, sum(sizes.values()))

    def milliseconds(index: int, op: Op) -> float:
        if index not in chosen:
            return _host_ms(op, bus)
        features = operator_features(op)
        compute = weighted(features, known.cycles) / 1e6 * bus.ms_per_million_cycles
        instructions = weighted(features, known.instruction_bytes) / 1e6 * bus.ms_per_megabyte
        return compute + instructions + streamed * sizes.get(index, 0)

    times = [
        OperatorTime(index, op.kind, op.name, round(ms, _DIGITS), round(ms / usb.estimate, _DIGITS))
        for index, op in enumerate(graph.ops)
        if (ms := milliseconds(index, op)) > 0
    ]
    return tuple(sorted(times, key=lambda time: -time.milliseconds)[:_SLOWEST])


def _host_ms(op: Op, bus: BusConstants) -> float:
    """Milliseconds of one operator on the CPU; 0 for custom ones of unknown work, as in the sum."""
    if op.kind == "CUSTOM":
        return bus.postprocess_ms if op.custom_code == CUSTOM_CODE else 0.0
    return cpu_ms(multiplications(op), host_elements(op), bus) or 0.0


def _evidence(work: Work) -> str:
    """What the estimate rests on, and what it leaves out."""
    fits = "; ".join(
        f"{_DEVICES[name]}: {bus.rows} published latencies, mean leave-one-out error "
        f"{100 * bus.leave_one_out_error:.0f} %"
        for name, bus in constants().buses.items()
    )
    remarks = [f"inferred from a fit to Coral's published latencies ({fits})"]
    if work.host_multiplications or work.host_elements:
        remarks.append("operators on the CPU as on that desktop; over PCIe their time is not known")
    elif work.host_postprocess:
        remarks.append("detection post-processing on the CPU of those machines included")
    if work.host_unknown:
        remarks.append("custom operators on the CPU are not included")
    for name, bus in constants().buses.items():
        parts = latency_parts(work, constants(), bus)
        if parts is not None and excess(parts, bus) > _FARTHEST:
            remarks.append(f"{_DEVICES[name]}: no estimate for a model this far beyond those of the fit")
    return "; ".join(remarks)
