"""Published compilations of stacks of equal layers, rebuilt from what their tables tell (MIT, Jorgitou98).

`conv/`: 3x3 convolutions of F filters on 64x64x3; the number of layers follows from the multiplications. `fc/`:
dense layers of N neurons behind 6,912 inputs (48x48x3) or 64, and a last one of 10. Memory is printed in MiB,
or below one MiB in KiB or as MiB with all digits: the value itself tells which.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coralsmith.edgetpu.memory import ParameterMemory
from coralsmith.graph.model import Graph, Op, Quant, Tensor

MEBIBYTE = 1 << 20
_KIBIBYTE = 1 << 10
_IMAGE = 64
_INPUTS = 6_912
_CLASSES = 10
_MOST_MIB = 9.0  # larger numbers in the on-chip column are KiB
_ROUNDED = 0.00501  # two decimals

# (series, reason): what in them cannot be compared
_FIRST_LAYER_ONLY = "conv/minF100-maxF620-stepF20-seg1-batch1-profilingFalse"
_OTHER_COMPILER = ("fc/miN2-maxN70-stepN4", "fc/miN2-maxN700-stepN50")

# Dense stacks by a part of the file name: (inputs, layers of N to N, further layers of 10 to 10).
_DENSE = (("I64", 64, 3, 0), ("L5", _INPUTS, 4, 0), ("L30", _INPUTS, 0, 29), ("L10", _INPUTS, 0, 9))
_DENSE_L30_WITHOUT_NAME = "fc/minN2-maxN2025-stepN100"

# 64x64 images with one convolution: the multiplications are those of a single layer with padded channels.
_SINGLE_CONVOLUTION = "conv/minF100-maxF2100-stepF200-seg1-batch1-profilingFalse"


@dataclass(frozen=True)
class Printed:
    """A number as the table has it: bytes, give or take the rounding."""

    value: float
    tolerance: float


@dataclass(frozen=True)
class Compilation:
    """One row: the layers, and what the compiler said.

    Attributes:
        series: The file.
        size: Filters or neurons.
        layers: (outputs, inputs) of each layer.
        convolution: Whether they are 3x3 convolutions.
        used: On-chip memory used.
        streamed: Off-chip memory; None where the table has none.
        excluded: Why the row cannot be compared; empty where it can.
    """

    series: str
    size: int
    layers: tuple[tuple[int, int], ...]
    convolution: bool
    used: Printed
    streamed: Printed | None
    excluded: str

    def graph(self) -> Graph:
        """The model: quantized as the published ones are, with zero biases left out."""
        shape = (1, _IMAGE, _IMAGE, 3) if self.convolution else (1, self.layers[0][1])
        value = Tensor("input", shape, np.dtype(np.int8), quant=Quant.per_tensor(0.1, 0))
        graph = Graph([], [value], [])
        for number, (outputs, inputs) in enumerate(self.layers):
            op = _layer(value, outputs, inputs, self.convolution, f"layer_{number}")
            graph.ops.append(op)
            value = op.output
        graph.outputs.append(value)
        return graph


def compilations(folder: Path) -> Iterator[Compilation]:
    """Every row of every table."""
    for path in sorted(folder.glob("*/*.csv")):
        series = f"{path.parent.name}/{path.stem}"
        with path.open(encoding="utf-8") as file:
            for row in csv.reader(file):
                if row and row[0].strip().isdigit():
                    yield _compilation(series, [float(cell.strip("[] ")) for cell in row])


def agrees(row: Compilation, memory: ParameterMemory) -> bool:
    """Whether some choice of streamed layers gives both printed numbers."""
    amounts = Counter((layer.occupied, layer.low) for layer in memory.layers)
    kinds = list(amounts.items())
    for kept in itertools.product(*(range(amount + 1) for _, amount in kinds)):
        used = sum(count * size for count, ((size, _), _) in zip(kept, kinds, strict=True))
        sent = sum((amount - count) * size for count, ((_, size), amount) in zip(kept, kinds, strict=True))
        if as_printed(used, row.used) and (row.streamed is None or as_printed(sent, row.streamed)):
            return True
    return False


def as_printed(size: int, printed: Printed, *, low: bool | None = None) -> bool:
    """Whether a number of bytes is the printed one; as a bound where `low` says which."""
    below, above = size - printed.value, printed.value - size
    if low is True:
        return below <= printed.tolerance
    if low is False:
        return above <= printed.tolerance
    return abs(below) <= printed.tolerance


def _compilation(series: str, cells: list[float]) -> Compilation:
    size, multiplications, used = int(cells[0]), cells[1], cells[2]
    streamed = _mebibytes(cells[3]) if len(cells) > 4 else None
    convolution = series.startswith("conv/")
    layers = _convolutions(series, size, multiplications) if convolution else _dense(series, size)
    excluded = ""
    if series == _FIRST_LAYER_ONLY:
        excluded = "whose memory columns are those of the first layer only"
    elif series in _OTHER_COMPILER:
        excluded = "of another compiler: rows in groups of 4, and 64 rows more"
    return Compilation(series, size, tuple(layers), convolution, _used(used), streamed, excluded)


def _convolutions(series: str, size: int, multiplications: float) -> list[tuple[int, int]]:
    if series == _SINGLE_CONVOLUTION:
        return [(size, 3)]
    further = round((multiplications / (9 * _IMAGE * _IMAGE) - 3 * size) / size**2)
    return [(size, 3), *[(size, size)] * further]


def _dense(series: str, size: int) -> list[tuple[int, int]]:
    inputs, between, behind = _INPUTS, 0, 29 if series == _DENSE_L30_WITHOUT_NAME else 0
    for part, *numbers in _DENSE:
        if part in series:
            inputs, between, behind = numbers
    last = [(_CLASSES, size), *[(_CLASSES, _CLASSES)] * behind]
    return [(size, inputs), *[(size, size)] * between, *last]


def _used(cell: float) -> Printed:
    """No chip has room for nine MiB: such numbers are KiB."""
    return Printed(cell * _KIBIBYTE, _ROUNDED * _KIBIBYTE) if cell > _MOST_MIB else _mebibytes(cell)


def _mebibytes(cell: float) -> Printed:
    return Printed(cell * MEBIBYTE, _ROUNDED * (_KIBIBYTE if cell < 1 else MEBIBYTE))


def _layer(value: Tensor, outputs: int, inputs: int, convolution: bool, name: str) -> Op:
    shape = (outputs, 3, 3, inputs) if convolution else (outputs, inputs)
    scales = np.linspace(0.1, 0.2, outputs if convolution else 1, dtype=np.float32)
    weights = Tensor.constant(
        f"{name}_weights", np.zeros(shape, np.int8), Quant(scales, np.zeros(scales.size, np.int64))
    )
    output = Tensor(name, (*value.shape[:-1], outputs), value.dtype, quant=value.quant)
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    return Op(
        "CONV_2D" if convolution else "FULLY_CONNECTED", [value, weights], [output], options if convolution else {}
    )
