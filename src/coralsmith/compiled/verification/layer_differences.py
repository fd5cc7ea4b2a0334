"""How the bytes at a layer's place differ from those of the source, value by value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.packing import LayerParameters, PackingError, pack, unpack
from coralsmith.compiled.verification.placement import Placement
from coralsmith.compiled.verification.report import Difference
from coralsmith.compiled.verification.source_layers import SourceLayer
from coralsmith.graph.model import Array

_MARK: Final = 0x7F
_MOST_OF: Final = 0.75


@dataclass(frozen=True)
class Comparison:
    """A layer against the bytes at its place.

    Attributes:
        form: The form in which they agree best.
        differences: What differs; the first of each sort.
        agreement: Share of the bytes of values that are equal.
        is_reordered: Whether they are the same weights in another order of taps and input channels.
    """

    form: PackedLayer
    differences: list[Difference]
    agreement: float
    is_reordered: bool

    @property
    def is_form_certain(self) -> bool:
        """Whether so much is equal that the form must be the right one."""
        return self.agreement >= _MOST_OF


def compare(placement: Placement, content: bytes) -> Comparison:
    """Compare a layer with the bytes at its place.

    Args:
        placement: A layer that is not there to the bit.
        content: The parameters of its program.
    """
    layer = placement.layer
    found = content[placement.place.start : placement.place.end]
    orders = (replace(form, has_bias=placement.form.has_bias) for form in layer.forms)
    forms = [form for form in dict.fromkeys(orders) if form.size == placement.form.size] or [placement.form]
    equal = {form: _bytes(layer.packed(form)) == _bytes(found) for form in forms}
    best = max(forms, key=lambda form: int(equal[form].sum()))
    is_value = _bytes(_values_marked(layer, best)) == _MARK
    agreement = float(equal[best][is_value].mean())
    has_orders = not best.depthwise and best.taps > 1 and best.channel_blocks > 1
    is_reordered = has_orders and np.array_equal(_sorted_lanes(layer.packed(best)), _sorted_lanes(found))
    return Comparison(best, list(_differences(layer, best, found)), agreement, is_reordered)


def _differences(layer: SourceLayer, form: PackedLayer, found: bytes) -> Iterator[Difference]:
    """What differs, one of each sort."""
    expected = layer.parameters(form)
    if form.has_bias != layer.forms[0].has_bias:
        stored = expected.bias if form.has_bias else layer.parameters(layer.forms[0]).bias
        count = 0 if stored is None else int(np.count_nonzero(stored))
        yield Difference("bias", *(("all zero", "stored") if form.has_bias else (f"{count} not 0", "all zero")))
    parameters, is_padding_exact = _unpacked(layer, form, found)
    if parameters is None:
        yield Difference("padding", "that of the source", "another")
        return
    yield from _first(expected.weights, parameters.weights, "weights", form)
    if parameters.bias is not None and expected.bias is not None and form.has_bias == layer.forms[0].has_bias:
        yield from _first(expected.bias, parameters.bias, "bias")
    if parameters.multipliers is not None and expected.multipliers is not None:
        yield from _first(expected.multipliers, parameters.multipliers, "multipliers")
    if not is_padding_exact:
        zero_point = expected.weight_zero_point
        yield Difference("padding", f"weight zero point {zero_point}", "another value")


def _unpacked(layer: SourceLayer, form: PackedLayer, found: bytes) -> tuple[LayerParameters | None, bool]:
    """The values among the bytes, and whether the bytes around them are those of the source."""
    is_value = _bytes(_values_marked(layer, form)) == _MARK
    expected = layer.packed(form)
    mended = np.where(is_value, _bytes(found), _bytes(expected)).tobytes()
    try:
        parameters = unpack(form, mended, layer.parameters(form).weight_zero_point)
    except PackingError:
        return None, False
    return parameters, mended == found


def _values_marked(layer: SourceLayer, form: PackedLayer) -> bytes:
    """The bytes of a layer whose every value is made of one mark, and whose padding is zero."""
    expected = layer.parameters(form)
    mark = np.uint32(_MARK * 0x01010101)
    return pack(
        form,
        replace(
            expected,
            weights=np.full_like(expected.weights, _MARK),
            weight_zero_point=0,
            bias=None if expected.bias is None else np.full(form.outputs, mark.view(np.int32)),
            multipliers=None if expected.multipliers is None else np.full(form.outputs, mark.view(np.float32)),
        ),
    )


def _first(expected: Array, found: Array, what: str, form: PackedLayer | None = None) -> Iterator[Difference]:
    """The first value that differs, and how many do."""
    places = np.argwhere(expected != found)
    if not len(places):
        return
    first = tuple(int(position) for position in places[0])
    values = _written(expected[first]), _written(found[first])
    if form is None:
        yield Difference(what, *values, count=len(places), channel=first[0])
        return
    channel, input_channel = (first[-1], None) if form.depthwise else (first[0], first[-1])
    tap = (first[1], first[2]) if len(first) == 4 else None
    yield Difference(what, *values, len(places), channel, tap, input_channel)


def _written(value: Any) -> str:
    """A value, a float with as many digits as tell it from its neighbours."""
    return f"{value:.9g}" if isinstance(value, np.floating) else str(value)


def _sorted_lanes(content: bytes) -> Array:
    """The weights of four input channels each, in an order of their own."""
    return np.sort(np.frombuffer(content, "<u4"))


def _bytes(content: bytes) -> Array:
    return np.frombuffer(content, np.uint8)
