"""Published sources with what the real compiler made of them, read once; and changes to a source by one step."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from coralsmith.compiled.package import CompiledModel, read_compiled
from coralsmith.compiled.packed_layer import packed_layer
from coralsmith.compiled.verification import verify_models
from coralsmith.compiled.verification.report import VerifyReport
from coralsmith.graph.model import Graph, Op, Quant, Tensor
from coralsmith.graph.reader import read_tflite

MOBILENET_V2 = "gcedgetpu__mobilenet_v2_1.0_224_quant"
BIRD = "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant"
INSECT = "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant"
MOBILENET_V1 = "gcedgetpu__mobilenet_v1_0.25_128_quant"
COLOURS = tuple(f"libredge__color_{colour}_64x64" for colour in ("red", "green", "blue"))
SSD = "ssd_mobilenet_v2_coco_quant"


@cache
def source(shared: Path, name: str) -> Graph:
    if name == SSD:
        return read_tflite(shared / "edgetpu" / "segments" / SSD / "source_rebuilt.tflite")
    return read_tflite(shared / "edgetpu" / "pairs" / name / "model.tflite")


@cache
def compiled(shared: Path, name: str) -> tuple[tuple[str, CompiledModel], ...]:
    folder = shared / "edgetpu" / ("segments" if name == SSD else "pairs") / name
    return tuple((path.name, read_compiled(path)) for path in sorted(folder.glob("*_edgetpu.tflite")))


def verified(shared: Path, name: str, against: str | None = None) -> VerifyReport:
    """The source of one pair held against its own or another's compiled file."""
    return verify_models(source(shared, name), compiled(shared, against or name), name=name)


def changed(graph: Graph, index: int, change) -> Graph:
    """A copy of a graph of which one operator was changed."""
    copy = graph.copy()
    change(copy.ops[index], copy)
    return copy


def other_weight(op: Op, graph: Graph, seed: int = 0) -> None:
    """One weight that the chip sees becomes its neighbour."""
    weights = op.required_input("filter")
    values = weights.data.copy()
    random = np.random.default_rng(seed)
    place = [int(random.integers(size)) for size in values.shape]
    if op.kind == "CONV_2D":
        form = packed_layer(op, graph.consumers(), 14)
        place[1:3] = int(random.choice(form.kept_rows)), int(random.choice(form.kept_columns))
    values[tuple(place)] += 1 if values[tuple(place)] < np.iinfo(values.dtype).max else -1
    weights.data = values


def other_bias(op: Op, graph: Graph, seed: int = 0) -> None:
    """One bias becomes its neighbour."""
    bias = op.required_input("bias")
    values = bias.data.copy()
    values[np.random.default_rng(seed).integers(values.size)] += 1
    bias.data = values


def other_output_zero_point(op: Op, graph: Graph) -> None:
    """The zero point of the output becomes its neighbour."""
    move_zero_point(op.output)


def other_weight_zero_point(op: Op, graph: Graph) -> None:
    """The zero point of the weights becomes its neighbour."""
    move_zero_point(op.required_input("filter"))


def other_output_scale(op: Op, graph: Graph) -> None:
    """The scale of the output becomes a percent larger."""
    quant = op.output.quant
    op.output.quant = Quant(quant.scale * np.float32(1.01), quant.zero_point, quant.axis)


def other_weight_scale(op: Op, graph: Graph) -> None:
    """The scale of the weights becomes the float32 behind it, and so on, until the multiplier is another one."""
    weights = op.required_input("filter")
    before = multiplier(op)
    while multiplier(op) == before:
        quant = weights.quant
        weights.quant = Quant(np.nextafter(quant.scale, np.float32(np.inf)), quant.zero_point, quant.axis)


def move_zero_point(tensor: Tensor) -> None:
    quant = tensor.quant
    step = np.where(quant.zero_point < np.iinfo(tensor.dtype).max, 1, -1)
    tensor.quant = Quant(quant.scale, quant.zero_point + step, quant.axis)


def multiplier(op: Op) -> np.float32:
    """The compiler's formula, step by step in float32."""
    scales = [t.quant.scale[0] for t in (op.required_input("input"), op.required_input("filter"), op.output)]
    return np.float32(np.float32(scales[0] * scales[1]) * np.float32(np.float32(1) / scales[2]))
