"""What a translation is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coralsmith.importers.onnx.builder import Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.values import Operand

Translator = Callable[[Node, Builder], Operand | Sequence[Operand]]
"""Adds a node's operators to the graph; returns its outputs, one or several."""
