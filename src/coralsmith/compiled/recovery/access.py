"""What stands beside a block of constants: where the operator reads from and writes to, and how it walks.

Source: measured on the layers and ADD operators of published pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.compiled.program import Program, RequantBlock

_READ: Final = -14  # bundles from the multiplier; the upper words hold what is listed below
_WRITTEN: Final = -11
_ADDRESS_MASK: Final = 0xFFFF
_WRITTEN_UNITS: Final = 2
_RUN: Final = (36, 0xFFFF)
_OUTER: Final = (56, 0xFF)


@dataclass(frozen=True)
class Access:
    """How one operator reads and writes.

    Attributes:
        read: Address of the first input.
        written: Address of the output, in the same units.
        run: Blocks of 4 input channels that are read without a jump.
        outer: The next loop's number: for `run` 1, all blocks of input channels.
        is_empty: Whether nothing is read in the way that layers read.
    """

    read: int
    written: int
    run: int
    outer: int
    is_empty: bool


def access_of(program: Program, block: RequantBlock) -> Access:
    """How the operator of a block reads and writes."""
    read, written = (_upper_word(program, block.bundle + offset) for offset in (_READ, _WRITTEN))
    return Access(
        read=read & _ADDRESS_MASK,
        written=((written & _ADDRESS_MASK) * _WRITTEN_UNITS) & _ADDRESS_MASK,
        run=((read >> _RUN[0]) & _RUN[1]) + 1,
        outer=(read >> _OUTER[0]) & _OUTER[1],
        is_empty=not read,
    )


def _upper_word(program: Program, bundle: int) -> int:
    return int(program.words[bundle, 1]) if bundle >= 0 else 0
