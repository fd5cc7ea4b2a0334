"""The instructions of a compiled model, as far as the quantization shows in them.

A program is a sequence of 128-bit bundles. Most of its tile operations have no public description; known are the
places where the compiler writes what depends on scales and zero points. Bits are counted from the least
significant bit of a bundle's first byte.

Source: measured on 134 published pairs of a source and its compiled model, three generations of the compiler
(2,242 of 2,262 layers found with all their constants); the loads of an ADD on 66 of 66 ADDs of the pairs at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.executable import BUNDLE_BYTES, Executable
from coralsmith.errors import MalformedModelError

MOST_BYTES: Final = 1 << 26
"""Longest program taken; the longest one seen has 312,192 bytes."""

NEXT_BLOCK: Final = 17
"""Bundles from one block of an operator to its next, in all 22 files at hand."""

Bits = tuple[int, int]
"""First bit and number of bits inside a bundle."""

# One block of constants, by the bundle that holds the multiplier.
_WEIGHT_ZERO_POINT: Final[Bits] = (62, 8)  # the bundle before
_INPUT_ZERO_POINT: Final[Bits] = (78, 8)  # the bundle before
_MULTIPLIER: Final[Bits] = (29, 32)
_CLAMP_MAX: Final[Bits] = (61, 32)
_CLAMP_MIN: Final[Bits] = (93, 32)
_BIAS_LOW: Final[Bits] = (125, 3)
_BIAS_HIGH: Final[Bits] = (0, 29)  # the bundle after
_OUTPUT_ZERO_POINT: Final[Bits] = (29, 8)  # the bundle after

# A bundle that loads 32 bits is otherwise zero but for a flag.
_LOADED: Final[Bits] = (88, 32)
_LOAD_FLAG: Final = 1 << (87 - 64)
_HALF: Final = 16
_TO_UPPER_HALF: Final = 6  # bundles from the load of a ratio's term to its load into the upper half
_TERM_AGAIN: Final = 18  # ... to its second pair of loads
_OTHER_TERM: Final = 30  # ... to the other term
_TO_BLOCK: Final = 77  # ... to the block of the ADD, on all 66 ADDs at hand

# What a block of constants looks like; random bundles do not.
_LEAST_MULTIPLIER: Final = 2.0**-32
_GREATEST_MULTIPLIER: Final = 2.0**8
_LEAST_CLAMP: Final = 0.5
_WIDEST_RANGE: Final = 255.01  # 255 steps, and rounding


@dataclass(frozen=True)
class RequantBlock:
    """The constants with which an accumulated sum becomes the next tensor.

    Attributes:
        bundle: Index of the bundle that holds the multiplier.
        multiplier: Steps of the output for one step of the sum; 1 where each channel has its own, which then
            stands among the parameters.
        clamp_min: Least value before the output's zero point is added.
        clamp_max: Greatest value before it is added.
        bias: Integer added to the sum; 0 where it stands among the parameters.
        output_zero_point: In the uint8 domain.
        input_zero_point: In the uint8 domain.
        weight_zero_point: In the uint8 domain; 0 where it stands among the parameters or there are no weights.
    """

    bundle: int
    multiplier: float
    clamp_min: float
    clamp_max: float
    bias: int
    output_zero_point: int
    input_zero_point: int
    weight_zero_point: int

    @property
    def constants(self) -> tuple[float | int, ...]:
        """Everything but the place."""
        return (
            self.multiplier,
            self.clamp_min,
            self.clamp_max,
            self.bias,
            self.output_zero_point,
            self.input_zero_point,
            self.weight_zero_point,
        )


@dataclass(frozen=True)
class RequantRun:
    """Blocks of the same constants at an even distance: one operator, cut into parts.

    An operator whose map is worked through in stripes has several runs.

    Attributes:
        block: The constants, with the place of the first block.
        bundles: Where the blocks are.
    """

    block: RequantBlock
    bundles: tuple[int, ...]


@dataclass(frozen=True)
class RatioLoad:
    """The two integers whose ratio is that of the scales of an ADD's operands, in the order of loading.

    The operands may be loaded in either order.

    Attributes:
        bundle: Index of the bundle that loads the first of them.
        terms: The integers.
    """

    bundle: int
    terms: tuple[int, int]

    @property
    def block_bundle(self) -> int:
        """The bundle of the block of constants that it belongs to."""
        return self.bundle + _TO_BLOCK


@dataclass(frozen=True)
class PaddingLoad:
    """A zero point in four copies: what spatial padding is filled with."""

    bundle: int
    value: int


@dataclass(frozen=True, eq=False)
class Program:
    """The bundles of one executable.

    Attributes:
        words: uint64, shape [bundles, 2]; the low word first.
    """

    words: NDArray[np.uint64]

    @staticmethod
    def of(executable: Executable) -> Program:
        """The instructions of an executable; its bitstreams follow each other, whole bundles each.

        Raises:
            MalformedModelError: They are longer than those of any model; many bitstreams may share their bytes.
        """
        if executable.instruction_bytes > MOST_BYTES:
            raise MalformedModelError(f"A program has {executable.instruction_bytes:,} bytes of instructions.")
        streams = [bitstream.content for bitstream in executable.bitstreams]
        whole = b"".join(bytes(stream[: len(stream) - len(stream) % BUNDLE_BYTES]) for stream in streams)
        return Program(np.frombuffer(whole, "<u8").reshape(-1, 2))

    @cached_property
    def blocks(self) -> tuple[RequantBlock, ...]:
        """Every block of constants, in the order of the program."""
        if len(self.words) < 3:
            return ()
        before, here, after = self.words[:-2], self.words[1:-1], self.words[2:]
        multiplier, low, high = (_floats(here, bits) for bits in (_MULTIPLIER, _CLAMP_MIN, _CLAMP_MAX))
        zero_point = _field(after, _OUTPUT_ZERO_POINT)
        found = np.flatnonzero(_is_plausible(multiplier, low, high))
        before, here, after = before[found], here[found], after[found]
        bias = _field(here, _BIAS_LOW) | (_field(after, _BIAS_HIGH) << np.uint64(_BIAS_LOW[1]))
        columns: Sequence[list[Any]] = [
            (found + 1).tolist(),
            multiplier[found].tolist(),
            low[found].tolist(),
            high[found].tolist(),
            bias.astype(np.uint32).view(np.int32).tolist(),
            zero_point[found].tolist(),
            _field(before, _INPUT_ZERO_POINT).tolist(),
            _field(before, _WEIGHT_ZERO_POINT).tolist(),
        ]
        return tuple(RequantBlock(*row) for row in zip(*columns, strict=True))

    @cached_property
    def runs(self) -> tuple[RequantRun, ...]:
        """The blocks, those of one operator together."""
        gathered: list[list[RequantBlock]] = []
        for block in self.blocks:
            last = gathered[-1] if gathered else None
            if last and block.bundle - last[-1].bundle == NEXT_BLOCK and block.constants == last[0].constants:
                last.append(block)
            else:
                gathered.append([block])
        return tuple(RequantRun(blocks[0], tuple(block.bundle for block in blocks)) for blocks in gathered)

    @cached_property
    def ratios(self) -> tuple[RatioLoad, ...]:
        """The ratio of each ADD, in the order of the program."""
        loaded = self._loaded
        last = len(loaded) - _OTHER_TERM - _TERM_AGAIN - _TO_UPPER_HALF
        if last <= 0:
            return ()
        first, other = loaded[:last], loaded[_OTHER_TERM : _OTHER_TERM + last]
        fits = np.ones(last, bool)
        for term, start in ((first, 0), (other, _OTHER_TERM)):
            fits &= (term > 0) & (term >> np.uint64(_HALF) == 0)
            for offset in (start, start + _TERM_AGAIN):
                upper = offset + _TO_UPPER_HALF
                fits &= loaded[offset : offset + last] == term
                fits &= loaded[upper : upper + last] == term << np.uint64(_HALF)
        return tuple(RatioLoad(int(k), (int(first[k]), int(other[k]))) for k in np.flatnonzero(fits))

    @cached_property
    def paddings(self) -> tuple[PaddingLoad, ...]:
        """Every load of a zero point in four copies, in the order of the program; one of zeros does not show."""
        loaded = self._loaded
        value = loaded & np.uint64(0xFF)
        found = np.flatnonzero((loaded > 0) & (loaded == value * np.uint64(0x01010101)))
        return tuple(PaddingLoad(int(k), int(value[k])) for k in found)

    def resembles(self, bundle: int, block: RequantBlock) -> bool:
        """Whether a bundle has the multiplier or a clamp of a block where a block has them."""
        here = self.words[bundle : bundle + 1]
        pairs = ((_MULTIPLIER, block.multiplier), (_CLAMP_MIN, block.clamp_min), (_CLAMP_MAX, block.clamp_max))
        return len(here) > 0 and any(value and _floats(here, bits)[0] == value for bits, value in pairs)

    @cached_property
    def _loaded(self) -> NDArray[np.uint64]:
        """The 32 bits that each bundle loads; 0 for a bundle that does something else."""
        value = _field(self.words, _LOADED)
        rest = self.words[:, 1] ^ (value << np.uint64(_LOADED[0] - 64))
        is_load = (self.words[:, 0] == 0) & (rest == np.uint64(_LOAD_FLAG))
        return np.where(is_load, value, np.uint64(0))


def _field(words: NDArray[np.uint64], bits: Bits) -> NDArray[np.uint64]:
    """One field of every bundle; it may lie across the middle."""
    start, width = bits
    mask = np.uint64((1 << width) - 1)
    if start >= 64:
        return (words[:, 1] >> np.uint64(start - 64)) & mask
    if start + width <= 64:
        return (words[:, 0] >> np.uint64(start)) & mask
    return ((words[:, 0] >> np.uint64(start)) | (words[:, 1] << np.uint64(64 - start))) & mask


def _floats(words: NDArray[np.uint64], bits: Bits) -> NDArray[np.float32]:
    return _field(words, bits).astype(np.uint32).view(np.float32)


def _is_plausible(
    multiplier: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether fields can be constants: clamps around 0 that leave room for 256 steps at most."""
    with np.errstate(invalid="ignore", over="ignore"):
        is_multiplier = (multiplier > _LEAST_MULTIPLIER) & (multiplier < _GREATEST_MULTIPLIER)
        is_around_zero = ((low == 0) | (low <= -_LEAST_CLAMP)) & ((high == 0) | (high >= _LEAST_CLAMP))
        plausible: NDArray[np.bool_] = (
            is_multiplier & is_around_zero & (low < high) & (high - low <= _WIDEST_RANGE)
        )
    return plausible
