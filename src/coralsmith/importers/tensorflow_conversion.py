"""From a TensorFlow function to the bytes of a float `.tflite` model. Runs in the child process.

The route is `convert_variables_to_constants_v2` and `from_concrete_functions` without a trackable object: 4 s
where `from_keras_model` takes 18 s, every shape static, and the outputs in the function's order. (With a Keras 3
model as trackable the same call silently writes a model without weights.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from coralsmith.errors import CoralsmithError, UnsupportedModelError
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.samples import Picture, Samples, model_inputs

# Operators that reach outside the model: a model file from somewhere else must not touch the user's files.
REACHING_OUT: Final = frozenset(
    {"ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "RpcCall"}
)
_NORMALISING: Final = frozenset({"Mul", "Sub", "Add", "AddV2", "RealDiv", "Cast"})
_NOT_IN_TFLITE: Final = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


@dataclass(frozen=True)
class TensorFlowSource:
    """A source model as TensorFlow sees it.

    Attributes:
        function: Concrete function from one image batch of fixed shape to a list of outputs.
        outputs: Meaningful names of these outputs, in order, each once.
        run: What the source itself computes for pictures; the flag says that it wants pixels from 0 to 255.
        model: What must live as long as the function does.
        source_names: What the source calls the outputs, where that is something else.
        versions: Versions of the libraries that read it.
        notes: One sentence each.
        head: The detection head as a `head.json` document, where the source carries one.
    """

    function: Any
    outputs: tuple[str, ...]
    run: Callable[[Sequence[Picture], bool], Samples]
    model: Any = None
    source_names: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    head: dict[str, Any] | None = None


def source_from(
    call: Callable[[Any], list[Any]], names: tuple[str, ...], shape: tuple[int, ...], dtype: Any, **facts: Any
) -> TensorFlowSource:
    """A source made of a plain call of the model.

    Args:
        call: From a tensor of `shape` to the outputs.
        names: Names of the outputs.
        shape: The input's shape, batch 1.
        dtype: The input's TensorFlow type.
        **facts: The other fields of `TensorFlowSource`.
    """
    import tensorflow as tf

    specification = tf.TensorSpec(shape, dtype, name="image")
    function = tf.function(call, autograph=False).get_concrete_function(specification)

    def run(pictures: Sequence[Picture], raw_pixels: bool) -> Samples:
        inputs = model_inputs(pictures, shape, np.dtype(dtype.as_numpy_dtype), raw_pixels=raw_pixels)
        runs = [[np.asarray(tensor) for tensor in function(tf.constant(image))] for image in inputs]
        return Samples(inputs, {name: np.stack(values) for name, *values in zip(names, *runs, strict=True)})

    # TensorFlow's functions refer to their variables weakly: `call` holds the model, as long as this does.
    return TensorFlowSource(function, names, run, model=call, **facts)


@dataclass(frozen=True)
class Conversion:
    """A float `.tflite` model.

    Attributes:
        content: The file's bytes.
        tensors: Names of the output tensors in the file, in the order of the function's outputs.
        raw_pixels: Whether the model's first step is arithmetic on its input, so that it wants plain pixels.
    """

    content: bytes
    tensors: tuple[str, ...]
    raw_pixels: bool


def convert(function: Any, trust: bool) -> Conversion:
    """Freeze a concrete function and convert it.

    Raises:
        UnsupportedModelError: It touches files or Python, or TensorFlow Lite lacks one of its operators.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function)
    refuse_reaching_out({node.op for node in frozen.graph.as_graph_def().node}, trust)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    try:
        content = converter.convert()
    except Exception as error:  # the converter raises many types, documented nowhere
        raise _not_convertible(error) from error
    tensors = tuple(output.name.removesuffix(":0") for output in frozen.outputs)
    readers = {op.type for op in frozen.inputs[0].consumers()}
    return Conversion(content, tensors, bool(readers & _NORMALISING))


def refuse_reaching_out(kinds: set[str], trust: bool) -> None:
    """Refuse a graph whose operators reach outside the model, unless the user trusts it."""
    found = sorted(kinds & REACHING_OUT)
    if found and not trust:
        raise UnsupportedModelError(
            f"The model holds operators that reach outside it: {', '.join(found)}.",
            hint="If you trust where the file comes from, allow it with --trust.",
        )


def _not_convertible(error: Exception) -> CoralsmithError:
    missing = sorted(set(_NOT_IN_TFLITE.findall(str(error))))
    if missing:
        return UnsupportedModelError(
            f"TensorFlow Lite has no operator for {', '.join(missing)}.",
            hint="Export the network without this step, usually a part of its pre- or post-processing.",
        )
    return UnsupportedModelError(
        f"TensorFlow's converter refuses the model: {essential_line(error)}",
        hint="Check that the network runs with batch 1 and a fixed image size.",
    )
