"""A small module for tests of what surrounds it, and factories that fail."""

from __future__ import annotations

import torch
from torch import nn


class Small(nn.Module):
    """A strided convolution with normalisation, then two heads, one of them in a nested result."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.boxes = nn.Conv2d(8, 8, 1)
        self.scores = nn.Conv2d(8, 6, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        x = self.trunk(x)
        boxes = self.boxes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 3)
        return boxes, {"scores": scores}


class Plain(nn.Module):
    """One tensor in, one out, as TorchScript likes it."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.trunk(x).flatten(2).transpose(1, 2)


def no_module() -> int:
    return 3


def failing() -> nn.Module:
    raise RuntimeError("no such configuration")
