"""The trained blood cell detector as a PyTorch module: the weights of its `.tflite` form in torch's layout.

So one set of weights exists as Keras, `.tflite`, PyTorch and ONNX, and all must detect the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from coralsmith.graph import Op, Tensor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.shapes import same_padding

SOURCE = Path(__file__).resolve().parents[4] / "shared/models/bccd_ssdlite/bccd_ssdlite_float.tflite"
ACTIVATIONS = {"NONE": nn.Identity, "RELU6": nn.ReLU6}


def detector() -> nn.Module:
    """The module, with its weights."""
    return Ported(SOURCE)


def blank_detector() -> nn.Module:
    """The module as a training script would make it: its weights are still to be loaded."""
    module = Ported(SOURCE)
    for weight in module.parameters():
        nn.init.zeros_(weight)
    return module


class Ported(nn.Module):
    """Runs the operators of a graph one by one, channels first."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.graph = read_tflite(path)
        self.layers = nn.ModuleDict()
        for number, op in enumerate(self.graph.ops):
            if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                self.layers[str(number)] = convolution(op)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        values: dict[Tensor, torch.Tensor] = {self.graph.inputs[0]: image}
        for number, op in enumerate(self.graph.ops):
            sources = [values[tensor] for tensor in op.activations()]
            values[op.output] = self.step(number, op, sources)
        scores, boxes = (values[tensor] for tensor in self.graph.outputs)
        return {"boxes": boxes, "classes": scores}

    def step(self, number: int, op: Op, sources: list[torch.Tensor]) -> torch.Tensor:
        first = sources[0]
        if str(number) in self.layers:
            return self.layers[str(number)](functional.pad(first, padding(op)))
        if op.kind == "ADD":
            return first + sources[1]
        if op.kind == "HARD_SWISH":
            return functional.hardswish(first)
        if op.kind == "LEAKY_RELU":
            return functional.leaky_relu(first, op.attributes["alpha"])
        if op.kind == "RESHAPE":
            return first.permute(0, 2, 3, 1).reshape(1, -1, op.output.shape[2])
        assert op.kind == "CONCATENATION", op.kind
        return torch.cat(sources, 1)


def convolution(op: Op) -> nn.Sequential:
    weights, bias = op.required_input("filter").data, op.required_input("bias").data
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    kernel = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
    filters, depth, height, width = kernel.shape
    groups = filters if depthwise else 1
    strides = (op.attributes["stride_h"], op.attributes["stride_w"])
    layer = nn.Conv2d(depth * groups, filters, (height, width), strides, groups=groups)
    layer.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
    layer.bias.data = torch.from_numpy(bias.copy())
    return nn.Sequential(layer, ACTIVATIONS[op.attributes["fused_activation_function"]]())


def padding(op: Op) -> list[int]:
    """Left, right, top, bottom."""
    if op.attributes["padding"] == "VALID":
        return [0, 0, 0, 0]
    size, kernel = op.inputs[0].shape, op.inputs[1].shape
    rows = same_padding(size[1], kernel[1], op.attributes["stride_h"])
    columns = same_padding(size[2], kernel[2], op.attributes["stride_w"])
    return [*columns, *rows]
