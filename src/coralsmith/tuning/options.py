"""What a user can choose about tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MemoryFormat = Literal["channels-last", "contiguous"]

DEFAULT_STEPS: Final = 160
"""Steps of the optimiser where no number of epochs is asked for, however many images there are."""


@dataclass(frozen=True)
class TuningOptions:
    """How long and how to train.

    Attributes:
        epochs: How often each image is looked at; None for as often as `DEFAULT_STEPS` steps take.
        minutes: Training ends when so much time has passed; 0 for no limit. A run that is ended by time gives
            other bytes on another machine.
        batch: Images of one step.
        learning_rate: Peak of the schedule, in quantization steps of a weight.
        seed: Chooses the held-back images, their order, and how they are varied.
        device: "auto" takes a GPU where torch sees one; or torch's name of a device.
        memory_format: "auto" times a step in both.
        patience: Training ends after so many checks without a better held-back error.
        imitation: What the distance from the float model counts where labels count 1. The unit of the distance is
            that of post-training quantization, so a whole 1 would tie the model to the float one.
        threads: CPU threads; a fixed number, for sums must not depend on the machine.
    """

    epochs: int | None = None
    minutes: float = 10.0
    batch: int = 4
    learning_rate: float = 0.001
    seed: int = 0
    device: str = "auto"
    memory_format: Literal["auto"] | MemoryFormat = "auto"
    patience: int = 8
    imitation: float = 0.05
    threads: int = 2
