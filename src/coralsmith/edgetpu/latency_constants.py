"""The constants of the latency estimate, in `latency.json`: fitted to published latencies, one set for each bus.

They are written by ``python -m benchmarks.edgetpu.latency --fit``; docs/latency.md tells how good they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

Bus = Literal["usb", "pcie"]

BUSES: Final[tuple[Bus, ...]] = ("usb", "pcie")

_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class BusConstants:
    """Fitted constants of one way to attach the Edge TPU.

    Attributes:
        overhead_ms: Of every inference.
        ms_per_million_cycles: Of the compiler's estimate; 2 would be a clock of 500 MHz and no overlap.
        ms_per_megabyte: Input, output and instructions.
        ms_per_streamed_megabyte: Parameters.
        cpu_ms_per_million_multiplications: Convolutions and dense layers on the CPU; None where not known.
        cpu_ms_per_million_elements: Other operators on the CPU; None where not known.
        postprocess_ms: Decoding and suppression of detections on the CPU.
        band: Greatest natural logarithm of measured over estimated, or the reverse, inside the band.
        fitted_up_to: Greatest milliseconds of each part in the models of the fit.
        shortest: Shortest latency of the fit.
        rows: Number of latencies in the fit.
        leave_one_out_error: Mean relative error on each of them when the fit has not seen it.
        leave_one_out_coverage: Share of them inside the band when neither fit nor band have seen them.
    """

    overhead_ms: float
    ms_per_million_cycles: float
    ms_per_megabyte: float
    ms_per_streamed_megabyte: float
    cpu_ms_per_million_multiplications: float | None
    cpu_ms_per_million_elements: float | None
    postprocess_ms: float
    band: float
    fitted_up_to: Mapping[str, float]
    shortest: float
    rows: int
    leave_one_out_error: float
    leave_one_out_coverage: float


@dataclass(frozen=True)
class Constants:
    """Everything in `latency.json`.

    Attributes:
        cycles: Cycles of one step, by kind of step (`operator_features`).
        program_bytes: Instruction bytes of an empty program.
        instruction_bytes: Instruction bytes by amount (`operator_features`).
        buses: Constants of each way to attach the Edge TPU.
    """

    cycles: Mapping[str, float]
    program_bytes: float
    instruction_bytes: Mapping[str, float]
    buses: Mapping[str, BusConstants]


@cache
def constants() -> Constants:
    """The fitted constants."""
    text = files("coralsmith.edgetpu").joinpath("latency.json").read_text("utf-8")
    return parse_constants(json.loads(text))


def parse_constants(document: Mapping[str, Any]) -> Constants:
    """The constants in the content of `latency.json`."""
    return Constants(
        cycles=document["cycles_per_step"],
        program_bytes=document["instruction_bytes"]["program"],
        instruction_bytes={key: value for key, value in document["instruction_bytes"].items() if key != "program"},
        buses={bus: BusConstants(**fields) for bus, fields in document["buses"].items()},
    )


def streaming_ms_per_mib(bus: Bus) -> float:
    """Milliseconds that each streamed MiB of parameters adds to an inference."""
    return constants().buses[bus].ms_per_streamed_megabyte * _MEBIBYTE / 1e6
