"""One model loaded where it runs: the interpreter on the CPU, or with an Edge TPU for its compiled part."""

from __future__ import annotations

from functools import partial
from typing import Any

from coralsmith.errors import DeviceError, UnsupportedModelError
from coralsmith.graph import Array
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.runtime.edgetpu_delegate import CPU, open_edgetpu


class Engine:
    """An interpreter by its one input and its outputs; for one thread at a time.

    Args:
        interpreter: With its tensors allocated.

    Attributes:
        invoke: Runs the model. No view of a tensor may be alive then.
    """

    def __init__(self, interpreter: Any) -> None:
        self.invoke = interpreter.invoke
        self._input = interpreter.tensor(interpreter.get_input_details()[0]["index"])
        self._outputs = [interpreter.tensor(output["index"]) for output in interpreter.get_output_details()]

    def input_view(self) -> Array:
        """The input's own memory."""
        view: Array = self._input()
        return view

    def outputs(self) -> list[Array]:
        """Copies of the outputs, in the order of the model."""
        return [output().copy() for output in self._outputs]


def open_engine(content: bytes, device: str, threads: int) -> Engine:
    """Load a model.

    Args:
        content: The bytes of a `.tflite` file; the caller keeps them alive.
        device: "cpu", or an Edge TPU as for `open_edgetpu`.
        threads: CPU threads.

    Raises:
        UnsupportedModelError: The interpreter refuses the model.
        DeviceError: There is no such Edge TPU, or its library refuses the model.
    """
    load = partial(load_interpreter, content, threads=threads)
    if device == CPU:
        return Engine(load())
    delegate = open_edgetpu(device)
    try:
        return Engine(load(delegate=delegate))
    except UnsupportedModelError as error:
        raise DeviceError(
            f"The Edge TPU does not take the model: {error.message}",
            hint="Is it compiled for a newer runtime than this libedgetpu has? `coralsmith doctor` tells both.",
        ) from error
