"""The table of ONNX operators that have a form here. To add one: its translation, in the file of its family."""

from __future__ import annotations

from typing import Final

from coralsmith.importers.onnx.convolutions import CONVOLUTIONS
from coralsmith.importers.onnx.elementwise import ELEMENTWISE
from coralsmith.importers.onnx.pooling import POOLINGS
from coralsmith.importers.onnx.reductions import REDUCTIONS
from coralsmith.importers.onnx.resizing import RESIZING
from coralsmith.importers.onnx.selection import SELECTION
from coralsmith.importers.onnx.shaping import SHAPING
from coralsmith.importers.onnx.table import Translator

TRANSLATORS: Final[dict[str, Translator]] = {
    **CONVOLUTIONS,
    **ELEMENTWISE,
    **POOLINGS,
    **REDUCTIONS,
    **RESIZING,
    **SELECTION,
    **SHAPING,
}

REASONS: Final[dict[str, str]] = {
    **dict.fromkeys(("If", "Loop", "Scan"), "is control flow, and the Edge TPU runs every operator once"),
    **dict.fromkeys(
        ("NonMaxSuppression", "TopK", "NonZero", "RoiAlign"), "selects boxes, which is done behind the network"
    ),
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger"),
        "quantizes; coralsmith does that itself and takes the float model",
    ),
}
"""Why some operators have no form, where more can be said than that."""
