"""The one intermediate form of coralsmith, its `.tflite` reader and writer, its verifier and its executor."""

from coralsmith.graph.model import Array, Attribute, FileFacts, Graph, Op, Quant, Tensor
from coralsmith.graph.operators import OPERATORS, OperatorSpec

__all__ = ["OPERATORS", "Array", "Attribute", "FileFacts", "Graph", "Op", "OperatorSpec", "Quant", "Tensor"]
