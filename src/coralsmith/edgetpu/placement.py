"""Which layers are kept on the chip, and which are streamed with every inference.

What must fit is the cache that the layers take, in whole groups of 64 outputs. The room for it and the order in
which the compiler fills it are not known exactly; published compilations of 455 stacks of equal layers confine
both. What every order and room that they allow agree on is said; the rest is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Placement = Literal["cached", "streamed", "unknown"]

_MEBIBYTE: Final = 1 << 20

# Room on the chip (used + remaining) that compilers 14 to 16 reported, in MiB.
_SMALL_INPUT: Final = 320 * 320
_LEAST_ROOM_OF_SMALL_INPUTS: Final = int(7.50 * _MEBIBYTE)  # EfficientDet-Lite0 320; SSD 320 has 7.72
_LEAST_ROOM: Final = int(6.1 * _MEBIBYTE)  # the least reported, with large activations; YOLOv5s 512 has 6.89
MOST_ROOM: Final = int(7.88 * _MEBIBYTE)  # dense 8192, all of it streamed

# Where the stacks did not fit, they were filled up to this: 6.87 MiB was kept where 6.97 would have been possible,
# and 7.8125 MiB is the most that was ever kept.
_FILLED: Final = (7_202_560, 8_126_464, 8_192_000)
_USUALLY_FILLED: Final = 8_126_464  # with the largest layers first: 447 of 455 stacks

NARROW_OUTPUTS: Final = 16


@dataclass(frozen=True)
class Block:
    """The parameters of one layer.

    Attributes:
        size: Bytes to be sent or cached.
        occupied: Cache that they take.
        outputs: Outputs of the layer.
    """

    size: int
    occupied: int
    outputs: int


@dataclass(frozen=True)
class Placements:
    """What becomes of the parameters.

    Attributes:
        layers: For each block "cached", "streamed" or "unknown".
        streamed: Bytes sent with every inference; None where it is not known whether any.
        streamed_low: Least number of bytes streamed.
        streamed_high: Greatest number of bytes streamed.
    """

    layers: tuple[Placement, ...]
    streamed: int | None
    streamed_low: int
    streamed_high: int


@dataclass(frozen=True)
class _Limits:
    """Larger layers are streamed, however much room there is.

    Attributes:
        layer: Most cache that one layer may take.
        narrow: Most bytes of a layer with at most 16 outputs.
    """

    layer: int
    narrow: int


# A layer of 6.80 MiB was cached, none of 7.09 MiB and more; of narrow ones 108 KiB, none of 148 KiB and more.
_LIMITS: Final = (_Limits(7_128_576, 110_592), _Limits(7_430_399, 152_063))

LARGEST_KEPT: Final = _LIMITS[0].layer
"""Cache of the largest layer that was seen kept, in bytes."""

LARGEST_NARROW_KEPT: Final = _LIMITS[0].narrow
"""Bytes of the largest layer of at most 16 outputs that was seen kept."""

_Order = Callable[[tuple[int, Block]], int]
_ORDERS: Final[tuple[_Order, ...]] = (
    lambda item: item[0],  # as they are executed
    lambda item: -item[1].occupied,  # the largest first
    lambda item: item[1].occupied,  # the smallest first
)
_USUAL_ORDER: Final = _ORDERS[1]


def place(blocks: Sequence[Block], input_pixels: int = 0) -> Placements:
    """Decide for each layer whether it is kept on the chip.

    Args:
        blocks: The layers in execution order.
        input_pixels: Height times width of the model's input; large ones leave less room.
    """
    rooms = _rooms(sum(block.occupied for block in blocks), input_pixels)
    kept = [_kept(blocks, room, order, limits) for room in rooms for order in _ORDERS for limits in _LIMITS]
    fates: dict[Block, set[bool]] = {}
    for possible in kept:
        for block, stays in zip(blocks, possible, strict=True):
            fates.setdefault(block, set()).add(stays)
    amounts = [_streamed(blocks, possible) for possible in kept]
    low, high = min(amounts), max(amounts)
    usual = _streamed(blocks, _kept(blocks, _USUALLY_FILLED, _USUAL_ORDER, _LIMITS[0]))
    return Placements(
        layers=tuple(_verdict(fates[block]) for block in blocks),
        streamed=None if low == 0 < high else min(max(usual, low), high),
        streamed_low=low,
        streamed_high=high,
    )


def either(first: Placements, second: Placements) -> Placements:
    """What holds whichever of two sizes the layers have; the estimate is that of the first."""
    low, high = min(first.streamed_low, second.streamed_low), max(first.streamed_high, second.streamed_high)
    pairs = zip(first.layers, second.layers, strict=True)
    return Placements(
        layers=tuple(one if one == other else "unknown" for one, other in pairs),
        streamed=None if low == 0 < high else first.streamed,
        streamed_low=low,
        streamed_high=high,
    )


def least_room(input_pixels: int) -> int:
    """Bytes of cache that were there in every model with an input of that height times width."""
    return _LEAST_ROOM_OF_SMALL_INPUTS if input_pixels <= _SMALL_INPUT else _LEAST_ROOM


def _rooms(total: int, input_pixels: int) -> tuple[int, ...]:
    """How much may be kept of layers that take so much cache in all."""
    least = least_room(input_pixels)
    if total <= least:
        return (total,)
    filled = (min(least, _FILLED[0]), *_FILLED)
    return (*filled, total) if total <= MOST_ROOM else filled


def _kept(blocks: Sequence[Block], room: int, order: _Order, limits: _Limits) -> list[bool]:
    """Keep layers in this order while there is room for the next; smaller ones may follow one that is left out."""
    kept = [False] * len(blocks)
    for index, block in sorted(enumerate(blocks), key=order):
        narrow = block.outputs <= NARROW_OUTPUTS and block.size > limits.narrow
        if not narrow and block.occupied <= min(limits.layer, room):
            kept[index], room = True, room - block.occupied
    return kept


def _streamed(blocks: Sequence[Block], kept: Sequence[bool]) -> int:
    return sum(block.size for block, stays in zip(blocks, kept, strict=True) if not stays)


def _verdict(possible: set[bool]) -> Placement:
    """Of equal layers it is not known which ones stay, so that they share what may become of them."""
    if len(possible) > 1:
        return "unknown"
    return "cached" if True in possible else "streamed"
