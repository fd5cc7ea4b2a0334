"""Logs whose models are not at hand but can be rebuilt: their rows are foretold, also for sizes beyond the pairs.

The series of one author differ in the number of filters only, and two members of each are pairs: the builders are
held against those first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from coralsmith.compat import check_graph
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.reader import read_tflite
from tests.builders import CONVOLUTION, activation, constant, graph, op
from tests.compat.operator_graphs import POOL, QUANT, ones, value
from tests.compat.test_pairs import rows_in, rows_of


def conv(source: Tensor, filters: int, kernel: int = 3, padding: str = "SAME", stride: int = 1) -> Op:
    weights = ones(filters, kernel, kernel, source.shape[-1], dtype=source.dtype)
    attributes = {**CONVOLUTION, "padding": padding, "stride_w": stride, "stride_h": stride}
    return op("CONV_2D", [source, weights, None], f"conv of {source.name}", **attributes)


def pool(source: Tensor) -> Op:
    return op("MAX_POOL_2D", [source], f"pool of {source.name}", **{**POOL, "stride_w": 2, "stride_h": 2})


def from_float(size: int) -> Op:
    return Op("QUANTIZE", [activation("image", (1, size, size, 3))], [value(1, size, size, 3, name="quantized")])


def chained(*ops: Op) -> Graph:
    return graph(list(ops), [next(ops[0].activations())])


def stack(filters: int, layers: int) -> Graph:
    """Convolutions of 3x3 on 64x64x3."""
    ops = [from_float(64)]
    for _ in range(layers):
        ops.append(conv(ops[-1].output, filters))
    return chained(*ops)


def classifier(filters: int) -> Graph:
    """The CIFAR network whose first layers have that many filters, the later ones 32 more."""
    ops = [from_float(32)]
    for width in (filters, filters + 32):
        ops.append(conv(ops[-1].output, width))
        ops.append(conv(ops[-1].output, width, padding="VALID"))
        ops.append(pool(ops[-1].output))
    flat = ops[-1].output.elements
    ops.append(op("RESHAPE", [ops[-1].output, constant("shape", [1, flat], np.int32)], "flat"))
    ops.append(op("FULLY_CONNECTED", [ops[-1].output, ones(10, flat), None], "dense"))
    ops.append(op("SOFTMAX", [ops[-1].output], "softmax", beta=1.0))
    return chained(*ops)


def padded(height: int, width: int, *, then_strided: bool = False) -> Graph:
    source = value(1, height, width, 3, dtype=np.uint8)
    paddings = constant("paddings", [[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    ops = [op("PAD", [source, paddings], "padded")]
    if then_strided:
        ops.append(conv(ops[0].output, 32, padding="VALID", stride=2))
    return chained(*ops)


def padded_stack(layers: int) -> Graph:
    """A PAD and convolutions of 7x7 with 32 filters on 128x128x3."""
    ops = list(padded(128, 128).ops)
    for _ in range(layers):
        ops.append(conv(ops[-1].output, 32, kernel=7))
    return chained(*ops)


def dense_stack(layers: int) -> Graph:
    source = value(1, 12, dtype=np.uint8)
    ops: list[Op] = []
    for number in range(layers):
        last = ops[-1].output if ops else source
        weights = constant("weights", np.ones((100, last.shape[-1])), np.uint8, QUANT)
        ops.append(op("FULLY_CONNECTED", [last, weights, None], f"dense {number}"))
    return chained(*ops)


def strided(height: int, width: int) -> Graph:
    return chained(conv(value(1, height, width, 3, dtype=np.uint8), 32, stride=2))


REBUILT: list[tuple[str, Callable[[], Graph], int]] = [
    ("N200-nMACs1496678400", lambda: stack(200, 2), 14),
    ("N320-nMACs15134883840", lambda: stack(320, 5), 14),
    ("N500-nMACs9271296000", lambda: stack(500, 2), 14),
    ("model_size_channel232", lambda: classifier(232), 14),
    ("model_size_channel332", lambda: classifier(332), 14),
    ("model_size_channel482", lambda: classifier(482), 14),
    ("model_padding_64x64x3", lambda: padded(64, 64), 10),
    ("model_padding_128x128x3", lambda: padded(128, 128), 10),
    ("model_padding_256x256x3", lambda: padded(256, 256), 10),
    ("model_padding_stride_256x256x3", lambda: padded(256, 256, then_strided=True), 10),
    ("model_stride_128x256x3", lambda: strided(128, 256), 10),
    ("model_stride_256x512x3", lambda: strided(256, 512), 10),
    ("model_conv_128x128x3x32x7x75", lambda: padded_stack(76), 10),
    ("model_conv_128x128x3x32x7x100", lambda: padded_stack(101), 10),
    ("model_conv_128x128x3x32x7x250", lambda: padded_stack(251), 10),
    ("model_dense_2x2x3x100x400", lambda: dense_stack(401), 10),
    ("model_dense_2x2x3x100x800", lambda: dense_stack(801), 10),
]


# Held against their logs in test_pairs.
AT_HAND = ["CPUvsTPU_cifar10_firstTest", "intflow__", "zye1996__"]

# Networks that cannot be had, or not rebuilt from their names.
OUT_OF_REACH = ["efficientnet-edgetpu-M", "ssdlite_mobiledet", "yolov5s", "mobilenet_v2_wo_fc", "not_padded"]


def shapes(model: Graph) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.kind, each.output.shape) for each in model.ops]


@pytest.mark.parametrize(
    ("pair", "rebuilt"),
    [
        ("jorgi__N32-nMACs41287680_quant", stack(32, 2)),
        ("jorgi__N100-nMACs379699200_quant", stack(100, 2)),
        ("jorgi__model_size_channel32_quant", classifier(32)),
        ("jorgi__model_size_channel82_quant", classifier(82)),
    ],
)
def test_the_builders_rebuild_the_members_of_the_series_that_are_pairs(shared, pair, rebuilt):
    assert shapes(rebuilt) == shapes(read_tflite(shared / "edgetpu" / "pairs" / pair / "model.tflite"))


@pytest.mark.parametrize(("name", "model", "runtime"), REBUILT, ids=[entry[0] for entry in REBUILT])
def test_the_rows_of_the_log_are_foretold(shared, name, model, runtime):
    (log,) = (path for path in (shared / "edgetpu" / "logs").glob("*.log") if f"{name}_" in path.name)
    assert rows_of(check_graph(model(), min_runtime=runtime)) == rows_in(log)


def test_every_log_is_accounted_for(shared):
    known = [f"{name}_" for name, _, _ in REBUILT] + AT_HAND + OUT_OF_REACH
    for path in (shared / "edgetpu" / "logs").glob("*.log"):
        assert sum(name in path.name for name in known) == 1, path.name
