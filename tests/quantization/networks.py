"""Small networks for the tests of post-training quantization: chains whose channels can be rescaled."""

from __future__ import annotations

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant

DEPTHWISE = {**CONVOLUTION, "depth_multiplier": 1}


def images(shape: tuple[int, ...] = (1, 8, 8, 3), count: int = 8, seed: int = 0) -> list[Array]:
    """Normalised noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.float32)
    return list(pixels / 127.5 - 1.0)


def convolution(source: Tensor, filters: int, name: str, kernel: int = 1, fused: str = "NONE") -> Op:
    """A CONV_2D with random weights and bias."""
    seed = sum(name.encode())
    weights = random_constant(f"{name}/weights", (filters, kernel, kernel, source.shape[-1]), seed)
    bias = random_constant(f"{name}/bias", (filters,), seed + 1)
    return op("CONV_2D", [source, weights, bias], name, **{**CONVOLUTION, "fused_activation_function": fused})


def depthwise(source: Tensor, name: str, fused: str = "NONE") -> Op:
    """A 3x3 DEPTHWISE_CONV_2D with random weights and bias."""
    seed = sum(name.encode())
    weights = random_constant(f"{name}/weights", (1, 3, 3, source.shape[-1]), seed)
    bias = random_constant(f"{name}/bias", (source.shape[-1],), seed + 1)
    attributes = {**DEPTHWISE, "fused_activation_function": fused}
    return op("DEPTHWISE_CONV_2D", [source, weights, bias], name, **attributes)


def inverted_residual(fused: str = "RELU") -> Graph:
    """MobileNetV2's block: narrow -> wide -> depthwise -> narrow, added to what went in; then a head."""
    source = activation("input", (1, 8, 8, 3))
    stem = convolution(source, 6, "stem", 3)
    wide = convolution(stem.output, 12, "wide", fused=fused)
    spatial = depthwise(wide.output, "spatial", fused)
    narrow = convolution(spatial.output, 6, "narrow")
    total = op("ADD", [stem.output, narrow.output], "total", fused_activation_function="NONE")
    head = convolution(total.output, 5, "head")
    return graph([stem, wide, spatial, narrow, total, head], [source])


def detector(logit_bias: float = 0.0) -> Graph:
    """Two raw heads over one map: boxes [1, 16, 4] and logits [1, 16, 2]; the bias makes objects rare."""
    source = activation("input", (1, 4, 4, 3))
    features = convolution(source, 8, "features", 3, "RELU")
    heads = []
    for name, columns in (("boxes", 4), ("scores", 2)):
        raw = convolution(features.output, columns, f"{name}_map")
        if name == "scores":
            raw.inputs[2] = constant("scores_map/bias", np.full(columns, logit_bias), np.float32)
        shape = constant(f"{name}/shape", [1, 16, columns], np.int32)
        flat = Tensor(name, (1, 16, columns), np.dtype(np.float32))
        heads += [raw, Op("RESHAPE", [raw.output, shape], [flat])]
    return graph([features, *heads], [source], [heads[1].output, heads[3].output])
