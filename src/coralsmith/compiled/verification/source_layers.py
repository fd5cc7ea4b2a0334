"""The layers of a source model as a compiled file would hold them: forms, bytes, constants, and doubts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from coralsmith.compiled import requantization
from coralsmith.compiled.packed_layer import PackedLayer, has_known_packing, packed_layer
from coralsmith.compiled.packing import LayerParameters, layer_parameters, pack
from coralsmith.compiled.requantization import Requantization
from coralsmith.edgetpu.inserted import flattened_remainder
from coralsmith.graph.model import Graph, Op, Tensor

LAYER_KINDS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


@dataclass(eq=False)
class SourceLayer:
    """An operator with constant weights, as the compiler would write it.

    Attributes:
        index: Position in the source.
        op: The operator.
        forms: The forms that its parameters may have, the most likely first; none where no packing is known.
        constants: Its constants in the instructions; None where they are not known.
        doubt: Why a difference would be no proof; empty for the proved kinds.
    """

    index: int
    op: Op
    forms: tuple[PackedLayer, ...] = ()
    constants: Requantization | None = None
    doubt: str = ""
    _packed: dict[PackedLayer, bytes] = field(default_factory=dict, repr=False)

    @property
    def is_proved(self) -> bool:
        """Whether it must be found if the file was compiled from the source."""
        return bool(self.forms) and not self.doubt

    def parameters(self, form: PackedLayer) -> LayerParameters:
        """The parameters of the source in a form."""
        weights = self.op.required_input("filter")
        source, output = self.op.required_input("input"), self.op.output
        assert weights.quant is not None
        scales = weights.quant.scale
        steps = requantization.multipliers(requantization.scale(source), scales, requantization.scale(output))
        parameters = layer_parameters(self.op, form, steps)
        if form.has_bias and parameters.bias is None:
            return replace(parameters, bias=np.zeros(form.outputs, np.int32))
        return parameters

    def packed(self, form: PackedLayer) -> bytes:
        """The bytes of the source in a form."""
        if form not in self._packed:
            self._packed[form] = pack(form, self.parameters(form))
        return self._packed[form]


def is_layer(op: Op) -> bool:
    """Whether an operator has constant weights that the compiler packs."""
    if op.kind not in LAYER_KINDS or len(op.inputs) < 2:
        return False
    weights = op.input("filter")
    return weights is not None and weights.is_constant


def source_layers(graph: Graph, indices: Iterable[int], min_runtimes: Iterable[int]) -> list[SourceLayer]:
    """The layers among the operators of a source.

    Args:
        graph: The source.
        indices: The operators on the Edge TPU.
        min_runtimes: Of the compiled files; they decide whether a bias of zeros is stored.
    """
    readers, producers = graph.consumers(), graph.producers()
    runtimes = sorted(set(min_runtimes))
    ops = ((index, graph.ops[index]) for index in indices)
    return [_layer(index, op, readers, producers, runtimes) for index, op in ops if is_layer(op)]


def _layer(
    index: int,
    op: Op,
    readers: Mapping[Tensor, list[Op]],
    producers: Mapping[Tensor, Op],
    min_runtimes: list[int],
) -> SourceLayer:
    doubt = _unknown(op)
    if doubt:
        return SourceLayer(index, op, doubt=doubt)
    stored = dict.fromkeys(packed_layer(op, readers, runtime) for runtime in min_runtimes)
    forms = [form for plain in stored for form in _orders(plain)]
    if _is_single_map(op):
        forms = [_as_depthwise(form) for form in stored] + forms
    try:
        activation = op.attributes.get("fused_activation_function", "NONE")
        constants = requantization.with_weights(
            op.required_input("input"), op.required_input("filter"), op.output, activation
        )
    except ValueError:
        return SourceLayer(index, op, tuple(forms), None, "its activation has no constants that are known")
    return SourceLayer(index, op, tuple(forms), constants, _doubt(op, producers))


def _unknown(op: Op) -> str:
    """Why it is not known how an operator would be packed; empty where it is."""
    weights, bias = op.required_input("filter"), op.input("bias")
    if op.attributes.get("depth_multiplier", 1) != 1 and op.kind == "DEPTHWISE_CONV_2D":
        return f"how a depth multiplier of {op.attributes['depth_multiplier']} is packed is not known"
    if not has_known_packing(op):
        return f"how the weights of a {op.kind} are packed is not known"
    if weights.quant is None or weights.dtype not in (np.int8, np.uint8):
        return "its weights are not quantized to 8 bits"
    if bias is not None and (bias.data is None or bias.dtype != np.int32):
        return "its bias is no constant of 32 bits"
    if len(set(weights.quant.zero_point.tolist())) > 1:
        return "its channels have different zero points, which no compiled model was seen to have"
    try:
        requantization.scale(op.required_input("input"))
        requantization.scale(op.output)
    except ValueError as error:
        return str(error)
    return ""


def _doubt(op: Op, producers: Mapping[Tensor, Op]) -> str:
    """Why an operator of known packing may yet be packed in another way."""
    if _is_single_map(op):
        return "the compiler has more than one form for a convolution of one channel to one"
    producer = producers.get(op.required_input("input"))
    if op.kind == "FULLY_CONNECTED" and producer is not None and flattened_remainder(producer) is not None:
        return (
            "behind a flatten of a map whose channels are no multiple of 4 the packing is not known in all cases"
        )
    return ""


def _orders(form: PackedLayer) -> list[PackedLayer]:
    """A form in every order of taps and blocks of channels that it could have, those seen first."""
    blocks = form.channel_blocks
    if form.depthwise or form.taps == 1:
        return [form]
    divisors = (count for count in range(1, blocks) if blocks % count == 0)
    return [replace(form, blocks_together=count) for count in (blocks, *divisors)]


def _is_single_map(op: Op) -> bool:
    """Whether a convolution has one input and one output channel: then it is packed as a depthwise one.

    Source: the two edge filters of one compiled model.
    """
    shape = op.required_input("filter").shape
    return op.kind == "CONV_2D" and shape[0] == shape[-1] == 1


def _as_depthwise(form: PackedLayer) -> PackedLayer:
    rows, columns = (tuple(range(size)) for size in form.filter_shape[1:3])
    return replace(form, depthwise=True, kept_rows=rows, kept_columns=columns, classes=None, blocks_together=1)
