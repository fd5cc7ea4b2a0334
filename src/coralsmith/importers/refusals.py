"""What no imported graph may hold, however it was made: each refusal names the operator and the way out."""

from __future__ import annotations

from typing import Final

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph

_FLOATS: Final = ("float16", "float64", "complex64", "complex128")


def refuse_unusable(graph: Graph) -> None:
    """Refuse graphs that compute nothing, use operators of TensorFlow itself, or compute in odd floats.

    Raises:
        UnsupportedModelError: The graph holds such a thing.
    """
    if not graph.ops or not graph.inputs or not graph.outputs:
        raise UnsupportedModelError("The model computes nothing: it has no operators, inputs or outputs.")
    flex = sorted({op.custom_code for op in graph.ops if op.custom_code.startswith("Flex")})
    if flex:
        raise UnsupportedModelError(
            f"The model uses TensorFlow's own operators: {', '.join(flex)}.",
            hint="Convert it without SELECT_TF_OPS, leaving out the step that needs them.",
        )
    odd = sorted({t.dtype.name for op in graph.ops for t in op.outputs} & set(_FLOATS))
    if odd:
        raise UnsupportedModelError(
            f"The model computes in {', '.join(odd)}.", hint="Export it with float32 activations."
        )
