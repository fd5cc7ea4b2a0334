from __future__ import annotations

import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.importers.image_input import static_image_shape


@pytest.mark.parametrize(
    ("declared", "size", "expected"),
    [
        ((None, 300, 300, 3), None, (1, 300, 300, 3)),
        ((8, 300, 300, 3), None, (1, 300, 300, 3)),
        ((None, None, None, 3), (240, 320), (1, 240, 320, 3)),
        ((None, 240, None, 1), (240, 320), (1, 240, 320, 1)),
        ((1, 300, 300, 3), (300, 300), (1, 300, 300, 3)),
    ],
)
def test_the_batch_becomes_one_and_open_sizes_take_the_callers(declared, size, expected) -> None:
    assert static_image_shape(declared, size, "image") == expected


@pytest.mark.parametrize(
    ("declared", "size", "message"),
    [
        ((None, None, None, 3), None, "no fixed size"),
        ((1, 300, 300, 3), (320, 320), "takes images of 300x300, not 320x320"),
        ((1, 10), None, r"not \[batch, height, width, channels\]"),
        ((1, 300, 300, None), None, r"not \[batch, height, width, channels\]"),
    ],
)
def test_what_is_no_image_of_a_fixed_size_is_refused(declared, size, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        static_image_shape(declared, size, "image")
