"""MobileNet V1 and V2, as trunks and as classifiers.

Sources: tensorflow/models `slim/nets/mobilenet_v1.py` and `slim/nets/mobilenet/mobilenet_v2.py` (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coralsmith.compiled.recovery.topologies.outline import Outline
from coralsmith.graph.model import Graph, Tensor

V1_WIDTHS: Final = (1.0, 0.75, 0.5, 0.25)
V2_WIDTHS: Final = (1.0, 0.35, 0.5, 0.75, 1.3, 1.4)

# Stride and output channels of the depthwise separable convolutions of V1.
_V1_BLOCKS: Final = (
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 512),
    (2, 1024), (1, 1024),
)  # fmt: skip

# Expansion, output channels, stride of the inverted residuals of V2.
_V2_BLOCKS: Final = (
    (1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1), (6, 64, 2), (6, 64, 1), (6, 64, 1),
    (6, 64, 1), (6, 96, 1), (6, 96, 1), (6, 96, 1), (6, 160, 2), (6, 160, 1), (6, 160, 1), (6, 320, 1),
)  # fmt: skip

_V2_LAST: Final = 1280
_FEWEST: Final = 8


def classifiers(input_shape: tuple[int, ...], classes: int) -> Iterator[tuple[str, Graph]]:
    """Every MobileNet classifier with these inputs and outputs, with its name."""
    for name, widths, trunk in (("V1", V1_WIDTHS, mobilenet_v1), ("V2", V2_WIDTHS, mobilenet_v2)):
        for width in widths:
            outline = Outline(input_shape)
            features = outline.average_pool(trunk(outline, width)[-1], "global_pool")
            logits = outline.convolution(features, classes, 1, "logits")
            flat = outline.reshape(logits, (1, classes), "logits/flat")
            yield f"MobileNet {name} {width:g}", outline.graph(outline.softmax(flat, "probabilities"))


def mobilenet_v1(outline: Outline, width: float) -> list[Tensor]:
    """The pointwise outputs of a V1 trunk, in order."""
    features = outline.convolution(outline.input, _v1(32, width), 3, "conv_0", stride=2, activation="RELU6")
    outputs = [features]
    for number, (stride, channels) in enumerate(_V1_BLOCKS, 1):
        features = outline.depthwise(features, 3, f"conv_{number}/depthwise", stride=stride, activation="RELU6")
        pointwise = f"conv_{number}/pointwise"
        features = outline.convolution(features, _v1(channels, width), 1, pointwise, activation="RELU6")
        outputs.append(features)
    return outputs


def mobilenet_v2(outline: Outline, width: float) -> list[Tensor]:
    """The expansions of a V2 trunk, in order, and its last convolution."""
    features = outline.convolution(outline.input, _v2(32, width), 3, "conv_0", stride=2, activation="RELU6")
    outputs = []
    for number, (expansion, channels, stride) in enumerate(_V2_BLOCKS):
        name, source = f"block_{number}", features
        if expansion > 1:
            inner = expansion * source.shape[-1]
            features = outline.convolution(source, inner, 1, f"{name}/expand", activation="RELU6")
            outputs.append(features)
        features = outline.depthwise(features, 3, f"{name}/depthwise", stride=stride, activation="RELU6")
        features = outline.convolution(features, _v2(channels, width), 1, f"{name}/project")
        if features.shape == source.shape:
            features = outline.add(features, source, f"{name}/add")
    last = _v2(_V2_LAST, max(width, 1.0))
    return [*outputs, outline.convolution(features, last, 1, "conv_1", activation="RELU6")]


def _v1(channels: int, width: float) -> int:
    return max(int(channels * width), _FEWEST)


def _v2(channels: int, width: float) -> int:
    """Channels in steps of 8, and not more than a tenth less than asked for."""
    rounded = max(_FEWEST, int(channels * width + _FEWEST / 2) // _FEWEST * _FEWEST)
    return rounded + _FEWEST if rounded < 0.9 * channels * width else rounded
