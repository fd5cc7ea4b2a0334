"""How far one network is from another: the error that label-free training makes small.

Each part of it is divided by what it was for the post-training quantized model on the held-back images. So 1 is
the model that the training starts from, whatever the units, and no part needs a weight of its own per model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch.nn import functional

from coralsmith.detection.head import DetectionHead
from coralsmith.graph import Graph
from coralsmith.quantization.output_error import LEAST_PROBABILITY

WEIGHTS: Final = {
    "probabilities": 1.0,
    "scores": 1.0,
    "object boxes": 1.0,
    "boxes": 0.25,
    "features": 0.25,
    "outputs": 1.0,
}
"""Shares of the parts in the error; boxes where there is no object, and features, only steady the training."""

LEAST_UNIT: Final = {"probabilities": 1e-3, "scores": 1e-3}
"""An error that is as good as none, for an image: one probability of one anchor that is 3 % off. Where the
held-back images happen to show nothing, no part may count for more than this."""

_TINY: Final = 1e-12


@dataclass(frozen=True)
class HeadNames:
    """The raw outputs of a detection head inside a graph.

    Attributes:
        boxes: The box output.
        logits: The scores before their activation function.
        activation: "sigmoid" or "softmax".
        background: Column of the background class, or None.
    """

    boxes: str
    logits: str
    activation: str
    background: int | None


def find_head(graph: Graph, head: DetectionHead | None) -> HeadNames | None:
    """The raw head of a graph; None where it has none whose scores have a known activation function."""
    if head is None:
        return None
    scores = graph.tensor(head.scores)
    producer = graph.producers().get(scores)
    if head.score.activation != "none":
        return HeadNames(head.boxes, head.scores, head.score.activation, head.score.background)
    if producer is None or producer.kind not in ("LOGISTIC", "SOFTMAX"):
        return None
    activation = "sigmoid" if producer.kind == "LOGISTIC" else "softmax"
    return HeadNames(head.boxes, producer.required_input("input").name, activation, head.score.background)


@dataclass
class Imitation:
    """The error of a student against its teacher.

    Attributes:
        head: Raw outputs of the detection head; None for any other network.
        outputs: Names of the graph's outputs.
        features: Inner activations that several operators read: where the network branches.
        unit: Value of each part that counts as 1.
    """

    head: HeadNames | None
    outputs: list[str]
    features: list[str]
    unit: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(graph: Graph, head: DetectionHead | None) -> Imitation:
        """The error for a float graph and its head."""
        readers = graph.consumers()
        features = [op.output.name for op in graph.ops if len(readers.get(op.output, ())) > 1]
        return Imitation(find_head(graph, head), [tensor.name for tensor in graph.outputs], features)

    @property
    def wanted(self) -> set[str]:
        """The activations that the error is computed from."""
        raw = self.outputs if self.head is None else [self.head.boxes, self.head.logits]
        return {*raw, *self.features}

    def parts(self, student: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, Any]:
        """Each part by itself, in its own unit."""
        found: dict[str, Any] = {}
        if self.head is None:
            found["outputs"] = _mean([relative_error(student[name], teacher[name]) for name in self.outputs])
        else:
            found |= _head_parts(self.head, student, teacher)
        if self.features:
            found["features"] = _mean([relative_error(student[name], teacher[name]) for name in self.features])
        return found

    def calibrate(self, parts: Mapping[str, float]) -> None:
        """Let these parts count as 1 each, or less where they are next to nothing."""
        self.unit = {name: max(value, LEAST_UNIT.get(name, _TINY)) for name, value in parts.items()}

    def total(self, parts: Mapping[str, Any]) -> Any:
        """The error: 1 where every part is as it was when the training began."""
        weight = sum(WEIGHTS[name] for name in parts)
        return sum(WEIGHTS[name] / weight * value / self.unit[name] for name, value in parts.items())


def relative_error(student: Any, teacher: Any) -> Any:
    """Noise power over signal power, 10^(-dB / 10)."""
    return (student - teacher).square().sum() / teacher.square().sum().clamp(min=_TINY)


def _head_parts(head: HeadNames, student: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, Any]:
    """Sums over an image: one that shows many objects counts as many times."""
    expected, found = (_log_probabilities(head, values[head.logits]) for values in (teacher, student))
    divergence = sum(_divergence(e, f) for e, f in zip(expected, found, strict=True))
    wanted, given = (_of_objects(head, values[0].exp()) for values in (expected, found))
    objectness = wanted.amax(dim=-1, keepdim=True)
    apart = (student[head.boxes] - teacher[head.boxes]).square()
    sums = {
        "probabilities": (given - wanted).square().sum(),
        "scores": divergence,
        "boxes": apart.sum(),
        "object boxes": (apart * objectness).sum(),
    }
    return {name: value / len(wanted) for name, value in sums.items()}


def _divergence(expected: Any, found: Any) -> Any:
    """Kullback-Leibler divergence of logarithms whose exponentials need not add up to 1; never negative."""
    wanted = expected.exp()
    return (wanted * (expected - found) - wanted + found.exp()).sum()


def _of_objects(head: HeadNames, values: Any) -> Any:
    """The columns of classes, without that of the background."""
    return values[..., [i for i in range(values.shape[-1]) if i != head.background]]


def _log_probabilities(head: HeadNames, logits: Any) -> list[Any]:
    """Logarithms of what an anchor's scores mean, of each class, and with a sigmoid of the lack of each.

    Probabilities that int8 cannot tell from 0 or 1 are all the same: a network that clips them loses nothing.
    """
    floor = math.log(LEAST_PROBABILITY)
    if head.activation == "softmax":
        return [torch.log_softmax(logits, dim=-1).clamp(min=floor)]
    limit = math.log(1 / LEAST_PROBABILITY - 1)
    clipped = logits.clamp(-limit, limit)
    return [functional.logsigmoid(clipped), functional.logsigmoid(-clipped)]


def _mean(values: list[Any]) -> Any:
    return sum(values) / len(values)
