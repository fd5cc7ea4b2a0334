"""Compares the estimate with some 760 measured stacks of convolutions and of dense layers (Jorgitou98, MIT).

They take no part in the fit. The bus is not named; the smallest take 0.08 ms, which only PCIe allows. What the
columns mean is told in the README of the folder `shared`; how many layers a stack has follows from its
multiplications. Streamed bytes are the measured ones.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coralsmith.edgetpu.latency import LatencyEstimate, bus_latency
from coralsmith.edgetpu.work import work_of
from coralsmith.graph.model import Attribute, Graph, Op, Tensor

CONV_SIZE, CONV_CHANNELS = 64, 3
CLASSES = 10

# Runs that time something else (single inferences in seconds, or the same stacks two to three times as fast), and
# stacks of more layers than their multiplications tell.
LEFT_OUT = ("seg1-batch1", "L10", "L30")

_CONV: dict[str, Attribute] = {
    "padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One stack that was measured.

    Attributes:
        file: The sweep it belongs to.
        kind: conv or fc.
        width: Filters or neurons of each layer.
        layers: Layers of that width that read such a layer.
        streamed: Bytes of parameters outside the chip.
        ms: Mean latency.
        estimate: The estimate over PCIe.
    """

    file: str
    kind: str
    width: int
    layers: int
    streamed: int
    ms: float
    estimate: LatencyEstimate

    @property
    def error(self) -> float:
        """Relative error of the estimate."""
        return self.estimate.estimate / self.ms - 1

    @property
    def is_inside(self) -> bool:
        """Whether the measured latency lies inside the band."""
        return self.estimate.low <= self.ms <= self.estimate.high


def sweeps(shared: Path) -> Iterator[Measured]:
    """Every measurement that says how many bytes were streamed."""
    for path in sorted((shared / "edgetpu" / "latency").glob("*/*.csv")):
        if any(name in path.name for name in LEFT_OUT):
            continue
        with path.open(encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row]
        if "Off chip mem used" in header:
            yield from (_measured(path, row) for row in rows)


def _measured(path: Path, row: list[str]) -> Measured:
    width, multiplications = int(row[0]), int(row[1])
    streamed, ms = round(float(row[3]) * (1 << 20)), float(row[4])
    kind = path.parent.name
    graph, layers = (_convolutions if kind == "conv" else _dense)(width, multiplications)
    work = work_of(graph, range(len(graph.ops)))
    work = dataclasses.replace(work, streamed_bytes=streamed, streamed_low=streamed, streamed_high=streamed)
    estimate = bus_latency(work, "pcie")
    assert estimate is not None
    return Measured(path.name, kind, width, layers, streamed, ms, estimate)


def _convolutions(width: int, multiplications: int) -> tuple[Graph, int]:
    """3x3 convolutions on 64x64 positions: the first reads 3 channels, the others `width`."""
    inner = multiplications / (CONV_SIZE**2 * 9) - CONV_CHANNELS * width
    layers = _whole(inner / width**2, multiplications)
    x = source = Tensor("in", (1, CONV_SIZE, CONV_SIZE, CONV_CHANNELS), np.dtype(np.int8))
    ops = []
    for index in range(layers + 1):
        weights = _weights(f"w{index}", (width, 3, 3, x.shape[-1]))
        result = Tensor(f"t{index}", (1, CONV_SIZE, CONV_SIZE, width), x.dtype)
        ops.append(Op("CONV_2D", [x, weights], [result], dict(_CONV)))
        x = result
    return Graph(ops, [source], [x]), layers


def _dense(width: int, multiplications: int) -> tuple[Graph, int]:
    """Dense layers of `width` between an input of 64 or 6912 and 10 classes."""
    for inputs in (6912, 64):
        inner = (multiplications - width * (inputs + CLASSES)) / width**2
        if inner >= 0 and abs(inner - round(inner)) < 1e-6:
            break
    layers = _whole(inner, multiplications)
    x = source = Tensor("in", (1, inputs), np.dtype(np.int8))
    ops = []
    for index, outputs in enumerate([width] * (layers + 1) + [CLASSES]):
        result = Tensor(f"t{index}", (1, outputs), x.dtype)
        ops.append(Op("FULLY_CONNECTED", [x, _weights(f"w{index}", (outputs, x.shape[-1]))], [result]))
        x = result
    return Graph(ops, [source], [x]), layers


def _whole(layers: float, multiplications: int) -> int:
    if layers < 0 or abs(layers - round(layers)) > 1e-6:
        raise ValueError(f"{multiplications} multiplications are those of no stack of layers")
    return round(layers)


def _weights(name: str, shape: tuple[int, ...]) -> Tensor:
    return Tensor(name, shape, np.dtype(np.int8), np.broadcast_to(np.int8(1), shape))
