"""Which layers stay on the chip: what the compiler was seen to do is certain, what lies between is unknown."""

from __future__ import annotations

import pytest

from coralsmith.edgetpu.placement import Block, either, place

MEBIBYTE = 1 << 20
LARGE_INPUT = 512 * 512


def block(mebibytes: float, outputs: int = 1024) -> Block:
    size = int(mebibytes * MEBIBYTE)
    return Block(size, size, outputs)


def placements(*blocks: Block, input_pixels: int = 0) -> list[str]:
    return list(place(blocks, input_pixels).layers)


@pytest.mark.parametrize(
    ("mebibytes", "pixels", "placement"),
    [
        (7.5, 320 * 320, "cached"),
        (7.6, 320 * 320, "unknown"),
        (6.0, LARGE_INPUT, "cached"),
        (6.2, LARGE_INPUT, "unknown"),
    ],
)
def test_layers_stay_while_there_is_room_in_every_model(mebibytes: float, pixels: int, placement: str) -> None:
    assert placements(*[block(mebibytes / 4)] * 4, input_pixels=pixels) == [placement] * 4


@pytest.mark.parametrize(("mebibytes", "placement"), [(6.79, "cached"), (7.0, "unknown"), (7.1, "streamed")])
def test_a_single_layer_has_a_limit_of_its_own(mebibytes: float, placement: str) -> None:
    assert placements(block(mebibytes)) == [placement]


@pytest.mark.parametrize(
    ("size", "outputs", "placement"),
    [(110_592, 10, "cached"), (120_000, 10, "unknown"), (152_064, 10, "streamed"), (152_064, 17, "cached")],
)
def test_a_large_layer_of_few_outputs_is_streamed(size: int, outputs: int, placement: str) -> None:
    assert placements(Block(size, 4 * size, outputs)) == [placement]


def test_of_more_than_fits_it_is_known_how_much_but_not_what() -> None:
    result = place([block(2.0), block(2.0), block(2.0), block(2.0)])
    assert set(result.layers) == {"unknown"}
    assert result.streamed == result.streamed_low == result.streamed_high == 2 * MEBIBYTE


def test_the_amount_is_a_band_where_it_depends_on_the_order() -> None:
    result = place([block(1.0), block(5.0), block(3.0)])
    assert result.streamed_low < result.streamed_high
    assert result.streamed is not None
    assert result.streamed_low <= result.streamed <= result.streamed_high


def test_whether_anything_is_streamed_may_be_unknown() -> None:
    result = place([block(3.85), block(3.85)])
    assert result.streamed is None
    assert (result.streamed_low, result.streamed_high) == (0, int(3.85 * MEBIBYTE))


def test_nothing_is_streamed_of_nothing() -> None:
    result = place([])
    assert (result.layers, result.streamed, result.streamed_high) == ((), 0, 0)


def test_of_two_possible_sizes_only_what_holds_for_both_is_known() -> None:
    small, large = place([block(2.0), block(1.0)]), place([block(8.0), block(1.0)])
    result = either(small, large)
    assert result.layers == ("unknown", "cached")
    assert (result.streamed, result.streamed_low, result.streamed_high) == (None, 0, 8 * MEBIBYTE)
    assert either(large, large) == large
