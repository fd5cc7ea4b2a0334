"""The network of the Ultra-Light face detector (RFB, 320x240) as a module of its own, for its published weights.

Structure and names: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB (MIT), `vision/nn/mb_tiny_RFB.py` and
`vision/ssd/mb_tiny_RFB_fd.py`.
"""

from __future__ import annotations

import torch
from torch import nn


class BasicConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, dilation: int = 1, relu: bool = True) -> None:
        super().__init__()
        padding = dilation if size == 3 else 0
        self.conv = nn.Conv2d(inputs, outputs, size, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU() if relu else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x))
        return x if self.relu is None else self.relu(x)


class ReceptiveFields(nn.Module):
    """Three branches of growing dilation beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(
            BasicConv(64, 8, 1, relu=False), BasicConv(8, 16, 3), BasicConv(16, 16, 3, 2, relu=False)
        )
        self.branch1 = nn.Sequential(
            BasicConv(64, 8, 1, relu=False), BasicConv(8, 16, 3), BasicConv(16, 16, 3, 3, relu=False)
        )
        self.branch2 = nn.Sequential(
            BasicConv(64, 8, 1, relu=False),
            BasicConv(8, 12, 3),
            BasicConv(12, 16, 3),
            BasicConv(16, 16, 3, 5, relu=False),
        )
        self.ConvLinear = BasicConv(48, 64, 1, relu=False)
        self.shortcut = BasicConv(64, 64, 1, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], 1)
        return torch.relu(self.ConvLinear(joined) + self.shortcut(x))


def first(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def plain_separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
    return nn.Sequential(depthwise, nn.ReLU(), nn.Conv2d(inputs, outputs, 1))


class FaceDetector(nn.Module):
    """Raw boxes and softmax scores, [1, 4420, 4] and [1, 4420, 2]."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(16, 32, 1), (32, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1)]
        late = [(64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        self.base_net = nn.Sequential(
            first(16), *(separable(*w) for w in widths), ReceptiveFields(), *(separable(*w) for w in late)
        )
        extra = nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), plain_separable(64, 256, 2), nn.ReLU())
        self.extras = nn.ModuleList([extra])
        self.classification_headers = self.heads(2)
        self.regression_headers = self.heads(4)

    def heads(self, columns: int) -> nn.ModuleList:
        maps = [(64, 3), (128, 2), (256, 2)]
        last = nn.Conv2d(256, 3 * columns, 3, padding=1)
        return nn.ModuleList([*(plain_separable(width, boxes * columns) for width, boxes in maps), last])

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = []
        for end in ((0, 8), (8, 11), (11, 13)):
            x = self.base_net[end[0] : end[1]](x)
            maps.append(x)
        maps.append(self.extras[0](x))
        rows = {
            "scores": [self.rows(head(m), 2) for head, m in zip(self.classification_headers, maps, strict=True)],
            "boxes": [self.rows(head(m), 4) for head, m in zip(self.regression_headers, maps, strict=True)],
        }
        return {"scores": torch.cat(rows["scores"], 1).softmax(2), "boxes": torch.cat(rows["boxes"], 1)}

    @staticmethod
    def rows(x: torch.Tensor, columns: int) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, columns)
