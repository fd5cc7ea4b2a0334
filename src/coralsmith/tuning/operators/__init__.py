"""The real-number meaning of each operator kind, in torch: one function a kind, over NHWC tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from coralsmith.graph.operands import Operands
from coralsmith.tuning.operators.arithmetic import ARITHMETIC
from coralsmith.tuning.operators.layers import LAYERS
from coralsmith.tuning.operators.movement import MOVEMENT
from coralsmith.tuning.operators.windows import WINDOWS

Function = Callable[[Operands, Sequence[Any]], Any]
"""From an operator and its input values by position (None for shapes, axes, indices) to its output, or outputs.

The leading dimension of a value may be any number of images, although the graph says one."""

FUNCTIONS: Final[dict[str, Function]] = {**LAYERS, **ARITHMETIC, **MOVEMENT, **WINDOWS}
