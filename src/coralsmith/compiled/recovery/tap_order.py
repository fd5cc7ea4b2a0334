"""In which order the taps and channels of a convolution are stored: read off the instructions and the weights.

The compiler keeps all blocks of 4 input channels together, or one, or two, before it goes on to the next tap of
the kernel. Padding rarely shows which, and bytes packed again in the same wrong order are the same bytes. But the
weights of one channel resemble each other across the taps of a trained kernel, in value and in size; read in
another order, channels are taken for taps, and they resemble each other less. And the instructions say how many
blocks are read without a jump: one, or all of them, once or for several taps.

Sources: the weights of 12 layers of published models, where the right order leads by 0.06 to 0.4, while weights
that were never trained show nothing; the instructions of 22 layers with one block or all together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.packing import PackingError, unpack
from coralsmith.compiled.recovery.access import Access

LEAST_LIKENESS: Final = 0.08
LEAST_LEAD: Final = 0.04
_ORDERS: Final = (1, 2)


def tap_orders(form: PackedLayer) -> list[PackedLayer]:
    """The form in every order that the compiler was seen to choose; only one where they all are the same."""
    blocks = form.channel_blocks
    if form.depthwise or form.taps == 1:
        return [form]
    return [replace(form, blocks_together=f) for f in dict.fromkeys((blocks, *_ORDERS)) if blocks % f == 0]


def likeness_of_taps(form: PackedLayer, content: bytes, zero_point: int) -> float:
    """How much the stored taps of a kernel resemble each other: correlation of values plus correlation of sizes.

    Raises:
        PackingError: The bytes are not in that order: padding does not have its value.
    """
    weights = unpack(form, content, zero_point).weights
    kept = weights[:, form.kept_rows][:, :, form.kept_columns].astype(np.float64) - zero_point
    taps = kept.reshape(form.outputs, form.taps, form.inputs).transpose(1, 0, 2)
    sizes = np.sqrt(np.abs(taps))  # less ruled by a few great weights than the sizes themselves
    sizes = sizes - sizes.mean(axis=(0, 2), keepdims=True)  # some outputs have greater weights than others
    return _mean_correlation(taps) + _mean_correlation(sizes)


def decide_tap_order(
    form: PackedLayer, content: bytes, zero_point: int, access: Access | None = None
) -> tuple[PackedLayer, str] | None:
    """The form in the order that its instructions and weights speak for, and how clearly; None where they do not.

    Args:
        form: The form in any order.
        content: The layer's bytes.
        zero_point: Of the weights, uint8 domain.
        access: How the layer reads its input, where that is known.
    """
    orders = tap_orders(form)
    if len(orders) == 1:
        return form, "the only order"
    ranked = []
    for order in orders:
        try:
            ranked.append((likeness_of_taps(order, content, zero_point), order))
        except PackingError:
            continue
    if len(ranked) == 1:
        return ranked[0][1], "shown by padding"
    ranked.sort(key=lambda entry: -entry[0])
    shown = None if access is None else _order_of_reading(form, access)
    alike = f"likeness of taps {ranked[0][0]:.2f}, in the next order {ranked[1][0]:.2f}" if ranked else ""
    if not ranked or ranked[0][0] < LEAST_LIKENESS or ranked[0][0] - ranked[1][0] < LEAST_LEAD:
        read = [order for _, order in ranked if order.blocks_together == shown]
        return (read[0], "shown by the instructions") if read else None
    if shown not in (None, ranked[0][1].blocks_together):
        return None
    return ranked[0][1], alike if shown is None else f"shown by the instructions, {alike}"


def _order_of_reading(form: PackedLayer, access: Access) -> int | None:
    """How many blocks the instructions keep together, where they say that clearly."""
    blocks = form.channel_blocks
    if access.run == 1 and access.outer == blocks & 0xFF:
        return 1
    return blocks if access.run % blocks == 0 else None


def _mean_correlation(taps: NDArray[np.float64]) -> float:
    """The mean correlation between two taps, [taps, outputs, inputs]."""
    rows = taps.reshape(len(taps), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt((rows**2).sum(axis=1))
    lengths[lengths == 0] = 1
    cosines = rows @ rows.T / np.outer(lengths, lengths)
    return float(cosines[np.triu_indices(len(rows), 1)].mean())
