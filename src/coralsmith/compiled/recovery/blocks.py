"""Sorts the blocks of constants in a program by what they can be the constants of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from coralsmith.compiled.program import Program, RequantBlock
from coralsmith.compiled.recovery.access import access_of

_LOGISTIC_CLAMP: Final = 10.39  # 15 ln 2, a little less
_SOFTMAX_CLAMP: Final = -13.03  # as the stored one, a little more
_SOFTMAX_END: Final = 2e-7  # the last block of a SOFTMAX multiplies by 2 ** -23 and a little
_NEARLY_ONE: Final = 2.0**-20
_RATIO_TO_BLOCK: Final = 128  # an ADD's block comes 77 bundles behind its ratio, in all files at hand


class Kind(Enum):
    """What a block can be the constants of."""

    LAYER = auto()
    ADD = auto()
    LOGISTIC = auto()
    MOVEMENT = auto()


@dataclass(frozen=True)
class LabelledBlock:
    """A block with what it can be of.

    Attributes:
        block: The constants.
        kind: LAYER includes inputs of CONCATENATION; MOVEMENT is what newer compilers write for SOFTMAX, RESHAPE.
        terms: The factors of an ADD's operands, in either order.
    """

    block: RequantBlock
    kind: Kind
    terms: tuple[int, int] = (0, 0)

    @property
    def may_move(self) -> bool:
        """Whether values may only pass through; a layer with a multiplier for each channel looks so too."""
        return self.kind is Kind.LAYER and _keeps_values(self.block)


def labelled_blocks(program: Program) -> Iterator[LabelledBlock]:
    """The blocks of a program, one for each run of equal ones."""
    ratios = list(program.ratios)
    for run in program.runs:
        block = run.block
        while len(ratios) > 1 and ratios[1].bundle < block.bundle:
            ratios.pop(0)
        is_behind = bool(ratios) and 0 < block.bundle - ratios[0].bundle < _RATIO_TO_BLOCK
        if is_behind and block.weight_zero_point == block.input_zero_point == 0:
            yield LabelledBlock(block, Kind.ADD, ratios[0].terms)
        elif block.output_zero_point == 0 and block.clamp_min < 0:
            is_logistic = block.clamp_max > _LOGISTIC_CLAMP and block.clamp_min < -_LOGISTIC_CLAMP
            yield LabelledBlock(block, Kind.LOGISTIC if is_logistic else Kind.MOVEMENT)
        elif block.multiplier < _SOFTMAX_END or (_keeps_values(block) and access_of(program, block).is_empty):
            yield LabelledBlock(block, Kind.MOVEMENT)
        else:
            yield LabelledBlock(block, Kind.LAYER)


def _keeps_values(block: RequantBlock) -> bool:
    return abs(block.multiplier - 1) < _NEARLY_ONE
