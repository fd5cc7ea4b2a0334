"""int8 models that are chains of convolutions, small and with names that tests can foretell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coralsmith.graph.model import Graph, Op, Quant, Tensor
from coralsmith.graph.writer import write_tflite
from tests.builders import CONVOLUTION

CHANNELS = 4


def conv_chain(count: int, *, quantize_first: bool = False, name: str = "conv_{}") -> Graph:
    """`count` convolutions of 1x1, each reading the one before; in front of them a float QUANTIZE if asked for."""
    image = Tensor("image", (1, 8, 8, CHANNELS), np.dtype(np.int8), quant=Quant.per_tensor(1 / 8, 0))
    ops, source = [], image
    if quantize_first:
        image = Tensor("image", (1, 8, 8, CHANNELS), np.dtype(np.float32))
        source = Tensor("quantized", image.shape, np.dtype(np.int8), quant=Quant.per_tensor(1 / 8, 0))
        ops.append(Op("QUANTIZE", [image], [source]))
    for index in range(count):
        ops.append(convolution(source, name.format(index)))
        source = ops[-1].output
    return Graph(ops, [image], [source])


def convolution(source: Tensor, name: str) -> Op:
    weights = np.full((CHANNELS, 1, 1, CHANNELS), 3, np.int8)
    zeros = np.zeros(CHANNELS, np.int64)
    scale = np.full(CHANNELS, 1 / 64, np.float32)
    filters = Tensor.constant(f"{name}/weights", weights, Quant(scale, zeros))
    bias = Tensor.constant(
        f"{name}/bias", np.zeros(CHANNELS, np.int32), Quant((scale / 8).astype(np.float32), zeros)
    )
    output = Tensor(name, source.shape, source.dtype, quant=Quant.per_tensor(1 / 8, 0))
    return Op("CONV_2D", [source, filters, bias], [output], dict(CONVOLUTION))


def write_chain(path: Path, count: int, **options) -> Path:
    write_tflite(conv_chain(count, **options), path)
    return path
