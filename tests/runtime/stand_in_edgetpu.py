"""A stand-in for an Edge TPU: no real one is needed, and none is claimed.

`compiled_form` is a graph whose one operator is named as the compiler names its own; it holds no program. The
stand-in interpreter runs the model that it stands for on the CPU, and can be unplugged.
"""

from __future__ import annotations

from typing import Any

import pytest

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.runtime import engine


def compiled_form(source: Graph) -> Graph:
    """A graph that looks compiled, with the inputs and outputs of an int8 model."""

    def twin(tensor: Tensor) -> Tensor:
        return Tensor(tensor.name, tensor.shape, tensor.dtype, quant=tensor.quant)

    inputs, outputs = [twin(t) for t in source.inputs], [twin(t) for t in source.outputs]
    return Graph([Op("CUSTOM", [*inputs], outputs, custom_code="edgetpu-custom-op")], inputs, outputs)


class StandInEdgeTpu:
    """Takes the place of libedgetpu and of the interpreter that uses it."""

    def __init__(self, source: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.contents: list[bytes] = []
        self.is_plugged_in = True
        self._content, _ = serialize_for_interpreter(source)
        monkeypatch.setattr(engine, "open_edgetpu", self._open)
        monkeypatch.setattr(engine, "load_interpreter", self._load)

    def _open(self, device: str) -> object:
        if not self.is_plugged_in:
            raise engine.DeviceError("libedgetpu opens no Edge TPU: the stand-in is unplugged.", "plug it in")
        self.opened.append(device)
        return object()

    def _load(self, content: bytes, *, threads: int, delegate: object = None) -> Any:
        if delegate is None:
            return load_interpreter(content, threads=threads)
        self.contents.append(content)
        return _Interpreter(load_interpreter(self._content, threads=threads), self)


class _Interpreter:
    def __init__(self, real: Any, device: StandInEdgeTpu) -> None:
        self._real, self._device = real, device
        self.get_input_details, self.get_output_details = real.get_input_details, real.get_output_details
        self.tensor = real.tensor

    def invoke(self) -> None:
        if not self._device.is_plugged_in:
            raise RuntimeError("Failed to execute request. USB transfer error 2 [LibUsbDataIn]")
        self._real.invoke()
