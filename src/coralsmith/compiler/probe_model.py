"""A model of one convolution, to see whether a compiler works at all."""

from __future__ import annotations

import numpy as np

from coralsmith.graph.model import Attribute, Graph, Op, Quant, Tensor

_SIDE = 16
_INPUT_CHANNELS = 3
_FILTERS = 16
_KERNEL = 3


def probe_model() -> Graph:
    """int8 [1, 16, 16, 3] -> CONV_2D 3x3, 16 filters -> int8 [1, 16, 16, 16]; the same bytes every time."""
    int8 = np.dtype(np.int8)
    image = Tensor("image", (1, _SIDE, _SIDE, _INPUT_CHANNELS), int8, quant=Quant.per_tensor(1 / 128, 0))
    shape = (_FILTERS, _KERNEL, _KERNEL, _INPUT_CHANNELS)
    weights = (np.arange(np.prod(shape)) * 37 % 255 - 127).astype(np.int8).reshape(shape)
    weight_scale = np.full(_FILTERS, 1 / 256, np.float32)
    bias_scale = (weight_scale / 128).astype(np.float32)
    zeros = np.zeros(_FILTERS, np.int64)
    filters = Tensor.constant("weights", weights, Quant(weight_scale, zeros, axis=0))
    bias = Tensor.constant("bias", np.arange(_FILTERS, dtype=np.int32), Quant(bias_scale, zeros, axis=0))
    result = Tensor("result", (1, _SIDE, _SIDE, _FILTERS), int8, quant=Quant.per_tensor(1 / 16, 0))
    attributes: dict[str, Attribute] = {
        "padding": "SAME",
        "stride_w": 1,
        "stride_h": 1,
        "fused_activation_function": "NONE",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }
    convolution = Op("CONV_2D", [image, filters, bias], [result], attributes)
    return Graph([convolution], [image], [result])
