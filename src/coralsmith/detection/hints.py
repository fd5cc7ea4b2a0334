"""What a source tells of its detection head without telling all of it: class names, the input's normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from coralsmith.detection.head import DetectionHead, InputSpec

BACKGROUND_NAMES: Final = frozenset({"background", "__background__", "???"})
"""What label files call the background; "???" in those of the TensorFlow Lite examples."""


@dataclass(frozen=True)
class HeadHints:
    """Facts that a recognised head, or one read from the model's own operator, is completed with.

    Attributes:
        labels: Class names as the source lists them, perhaps with the background first; None where it has none.
        input: How pixels become the input; None where it is not told.
        background: Column of the background, where the source itself drops it.
    """

    labels: tuple[str, ...] | None = None
    input: InputSpec | None = None
    background: int | None = None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The labels without the background."""
        return None if self.labels is None else without_background(self.labels)

    def completing(self, head: DetectionHead) -> DetectionHead:
        """The head with these labels, where there is one for each class, and this input."""
        for labels in (self.labels, self.class_names):
            if labels is not None and len(labels) == len(head.labels):
                head = replace(head, labels=labels)
                break
        return head if self.input is None else replace(head, input=self.input)


def without_background(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels without a first one that names the background."""
    return labels[1:] if len(labels) > 1 and labels[0].strip().lower() in BACKGROUND_NAMES else labels
