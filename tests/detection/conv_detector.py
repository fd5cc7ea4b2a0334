"""A small detector with convolutions as heads and, if asked, a decoder inside its graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tests import builders

from coralsmith.graph import Graph, Op, Tensor

HEIGHT, WIDTH = 24, 32
MAPS = ((6, 8), (3, 4))
BOXES = 2
CLASSES = 3
COUNT = sum(height * width * BOXES for height, width in MAPS)


def anchors(seed: int = 0) -> np.ndarray:
    """[N, 4] (y centre, x centre, height, width): the centres of the cells, sizes of any kind."""
    centres = []
    for size in MAPS:
        cells = (np.indices(size).reshape(2, -1).T + 0.5) / size
        centres.append(cells.repeat(BOXES, axis=0))
    sizes = np.random.default_rng(seed).uniform(0.1, 0.6, (COUNT, 2))
    return np.concatenate([np.concatenate(centres), sizes], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Spelling:
    """How the decoder is written.

    Attributes:
        x_first: Whether x stands before y, in raw and in decoded boxes.
        corners: Whether it puts out corners, else centres and sizes.
        in_pixels: Whether in pixels of the image.
        scales: Divisors of the raw columns.
        clipped: Lowest and highest numbers, or one for each column, that its boxes are clipped to.
        background: Makes the scores a softmax with column 0 for the background, favoured by this much; None leaves
            raw scores.
    """

    x_first: bool = True
    corners: bool = True
    in_pixels: bool = False
    scales: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    clipped: tuple[float, object] | None = None
    background: float | None = None


def conv_detector(spelling: Spelling | None = None) -> Graph:
    """Outputs `boxes` [1, N, 4] (decoded where a spelling is given) and `scores` [1, N, CLASSES]."""
    image = builders.activation("image", (1, HEIGHT, WIDTH, 3))
    ops: list[Op] = []
    fine = _conv(ops, image, "fine", 8, 4)
    coarse = _conv(ops, fine, "coarse", 8, 2)
    outputs = []
    for name, columns in (("boxes", 4), ("scores", CLASSES)):
        rows = []
        for number, feature in enumerate((fine, coarse)):
            head = _conv(ops, feature, f"{name}_{number}", BOXES * columns, 1)
            shape = builders.constant(f"{name}_{number}_shape", [1, -1, columns], np.int32)
            rows.append(_add(ops, "RESHAPE", [head, shape], f"{name}_{number}_rows"))
        joined = "raw" if name == "boxes" and spelling else name
        outputs.append(_add(ops, "CONCATENATION", rows, joined, axis=1, fused_activation_function="NONE"))
    if spelling is not None:
        outputs[0] = _decoder(ops, outputs[0], spelling)
    if spelling is not None and spelling.background is not None:
        _favour_background(ops, spelling.background)
        outputs[1].name = "logits"
        outputs[1] = _add(ops, "SOFTMAX", [outputs[1]], "scores", beta=1.0)
    return builders.graph(ops, [image], outputs)


def _favour_background(ops: list[Op], amount: float) -> None:
    """Calm the score convolutions and raise their first column."""
    for op in ops:
        if op.kind == "CONV_2D" and op.name.startswith("scores"):
            weights = op.inputs[1].data * 0.02
            bias = np.tile(np.array([amount, 0, 0], np.float32), BOXES)
            op.inputs[1:] = [
                builders.constant(f"{op.name}_calm", weights),
                builders.constant(f"{op.name}_bias", bias),
            ]


def _decoder(ops: list[Op], raw: Tensor, spelling: Spelling) -> Tensor:
    table = anchors()
    if spelling.x_first:
        table = table[:, [1, 0, 3, 2]]
    if spelling.in_pixels:
        unit = (WIDTH, HEIGHT) if spelling.x_first else (HEIGHT, WIDTH)
        table = table * np.array([*unit, *unit], np.float32)
    scales = np.array(spelling.scales, np.float32)
    offsets, stretches = (_part(ops, raw, f"part_{start}", start) for start in (0, 2))
    factor = builders.constant("factor", (table[:, 2:] / scales[:2])[None])
    moved = _binary(ops, "MUL", offsets, factor, "moved")
    centres = _binary(ops, "ADD", moved, builders.constant("centres", table[None, :, :2]), "centre")
    exponent = _binary(ops, "MUL", stretches, builders.constant("variance", 1 / scales[2:]), "exponent")
    ops.append(builders.op("EXP", [exponent], "exp"))
    sizes = _binary(ops, "MUL", ops[-1].output, builders.constant("sizes", table[None, :, 2:]), "size")
    parts = [centres, sizes]
    if spelling.corners:
        half = _binary(ops, "MUL", sizes, builders.constant("half", np.float32(0.5)), "half_size")
        parts = [_binary(ops, "SUB", centres, half, "low"), _binary(ops, "ADD", centres, half, "high")]
    boxes = _add(ops, "CONCATENATION", parts, "boxes", axis=2, fused_activation_function="NONE")
    if spelling.clipped is None:
        return boxes
    boxes.name = "unclipped"
    low, high = (
        builders.constant(name, np.float32(limit)) for name, limit in zip("lh", spelling.clipped, strict=True)
    )
    return _add(ops, "MINIMUM", [_add(ops, "MAXIMUM", [boxes, low], "floored"), high], "boxes")


def _part(ops: list[Op], raw: Tensor, name: str, start: int) -> Tensor:
    begin = builders.constant(f"{name}_begin", [0, 0, start], np.int32)
    size = builders.constant(f"{name}_size", [1, -1, 2], np.int32)
    return _add(ops, "SLICE", [raw, begin, size], name)


def _binary(ops: list[Op], kind: str, left: Tensor, right: Tensor, name: str) -> Tensor:
    return _add(ops, kind, [left, right], name, fused_activation_function="NONE")


def _conv(ops: list[Op], source: Tensor, name: str, filters: int, stride: int) -> Tensor:
    seed = len(ops)
    weights = builders.random_constant(f"{name}_weights", (filters, 3, 3, source.shape[3]), seed)
    bias = builders.random_constant(f"{name}_bias", (filters,), seed + 1)
    options = {**builders.CONVOLUTION, "stride_w": stride, "stride_h": stride}
    return _add(ops, "CONV_2D", [source, weights, bias], name, **options)


def _add(ops: list[Op], kind: str, inputs: list[Tensor], name: str, **attributes: object) -> Tensor:
    ops.append(builders.op(kind, list(inputs), name, **attributes))
    return ops[-1].output
