"""What a training makes small: the distance from the float model, and with labels the loss on those as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coralsmith.tuning.imitation import Imitation
from coralsmith.tuning.multibox import Multibox
from coralsmith.tuning.objects import Objects

LABELS: Final = "labels"


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a step and the error on the held-back images; the error is 1 where the training begins.

    Attributes:
        imitation: The distance from the float model.
        multibox: The loss on labelled objects; None where there are no labels.
        imitation_weight: What the distance from the float model counts in a loss with labels, which count 1. It
            keeps what the float model knows from far more images than are labelled here.
    """

    imitation: Imitation
    multibox: Multibox | None
    imitation_weight: float

    @property
    def wanted(self) -> set[str]:
        """The activations that the parts are computed from."""
        return self.imitation.wanted

    @property
    def unit(self) -> dict[str, float]:
        """What counts as 1 in each part."""
        return self.imitation.unit

    def parts(
        self, student: Mapping[str, Any], teacher: Mapping[str, Any], objects: Sequence[Objects]
    ) -> dict[str, Any]:
        """Each part by itself, in its own unit."""
        found = self.imitation.parts(student, teacher)
        if self.multibox is not None:
            found[LABELS] = self.multibox.loss(student, objects)
        return found

    def loss(self, parts: Mapping[str, Any]) -> Any:
        """What a step makes smaller."""
        if self.multibox is None:
            return self.imitation.total(parts)
        followed = self.imitation.total({name: value for name, value in parts.items() if name != LABELS})
        weight = self.imitation_weight
        return (self.error(parts) + weight * followed) / (1 + weight)

    def error(self, parts: Mapping[str, Any]) -> Any:
        """By what the best state is chosen: with labels, the loss on those alone."""
        return self.imitation.total(parts) if self.multibox is None else parts[LABELS] / self.unit[LABELS]
