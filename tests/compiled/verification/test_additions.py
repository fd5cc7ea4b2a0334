"""What the compiler adds to the parameters is known by its contents, size and place, and else not known."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compiled.verification.additions import ALIGNMENT, MATRIX, SOFTMAX, addition

MOVING = ("RESHAPE", "CONV_2D")


def matrix(rows: int, columns: int = 64) -> bytes:
    return np.eye(rows, columns, dtype=np.uint8).tobytes()


@pytest.mark.parametrize(
    ("content", "start", "kinds", "what"),
    [
        (matrix(16), 0, MOVING, MATRIX),
        (matrix(16), 0, ("CONV_2D",), ""),
        (bytes(64) + matrix(4), 0, ("CONCATENATION",), MATRIX),
        (matrix(16) + b"\x02" * 64, 0, MOVING, ""),
        (b"\x07" * 16 + bytes(48), 16, (), ALIGNMENT),
        (b"\x07" * 16 + bytes(112), 16, (), ""),
        (b"\x07" * 16 + bytes(40), 16, (), ""),
        (b"\x07" * (64 + 576), 64, ("SOFTMAX",), SOFTMAX),
        (b"\x07" * (64 + 576), 64, MOVING, ""),
        (b"\x07" * (64 + 640), 64, ("SOFTMAX",), ""),
    ],
    ids=[
        "ones on a diagonal",
        "but nothing to move",
        "behind a column of zeros",
        "other numbers behind",
        "zeros up to 64 bytes",
        "more zeros than that",
        "zeros up to nothing",
        "tables behind the last layer",
        "but no softmax",
        "but of another size",
    ],
)
def test_additions(content, start, kinds, what):
    assert addition(content, start, len(content), kinds) == what


def test_tables_in_the_middle_are_not_those_of_softmax():
    assert addition(b"\x07" * 1200, 64, 64 + 576, ("SOFTMAX",)) == ""
