"""What a step of a training looks at, and what it is judged by: varied images, and others that are held back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch

from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.options import PixelScale
from coralsmith.tuning.augmentation import vary
from coralsmith.tuning.data import Data
from coralsmith.tuning.network import Network, carries_batches
from coralsmith.tuning.objective import Objective
from coralsmith.tuning.options import DEFAULT_STEPS, MemoryFormat, TuningOptions
from coralsmith.tuning.training import Course, Model, Task, train

RATES: Final = {"moved": 0.2, "steps": 1.0, "gain": 0.05, "bias": 1.0}
"""Learning rates as factors of that of weights, which move in steps: the ends of ranges move in widths, weight
scales in shares of themselves, biases in steps of the output."""


class Student(Model, Protocol):
    """A network that can be trained."""

    def run(self, images: Any, wanted: Collection[str]) -> dict[str, Any]:
        """As `Network.run`."""


class Lessons:
    """Images, and what a student's answers to them are worth.

    Args:
        teacher: What students are held against; it sees the same varied images.
        data: Images and objects, on the device of all networks.
        objective: What is made small.
        pixels: Meaning of the images' values.
        tuning: How long and how to train.
    """

    def __init__(
        self, teacher: Network, data: Data, objective: Objective, pixels: PixelScale | None, tuning: TuningOptions
    ) -> None:
        self.teacher, self.data, self.objective = teacher, data, objective
        self.pixels, self.tuning = pixels, tuning
        many = carries_batches(teacher, data.training)
        self.batch = min(tuning.batch, len(data.training)) if many else 1
        with torch.no_grad():
            self._expected = [teacher.run(part, objective.wanted) for part in _pieces(data.held_back, self.batch)]

    @property
    def steps(self) -> int:
        """How many steps the training is planned to have."""
        if self.tuning.epochs is None:
            return DEFAULT_STEPS * self.tuning.batch // self.batch
        return max(1, self.tuning.epochs * len(self.data.training) // self.batch)

    def parts(self, student: Student, form: MemoryFormat = "channels-last") -> dict[str, float]:
        """The parts of the objective on the held-back images, each the mean over them."""
        sums: dict[str, float] = {}
        pieces = (
            _pieces(held_back, self.batch) for held_back in (self.data.held_back, self.data.held_back_objects)
        )
        with torch.no_grad():
            for images, objects, expected in zip(*pieces, self._expected, strict=True):
                found = student.run(in_format(images, form), self.objective.wanted)
                for name, value in self.objective.parts(found, expected, objects).items():
                    sums[name] = sums.get(name, 0.0) + float(value) * len(images) / len(self.data.held_back)
        return sums

    def error(self, student: Student, form: MemoryFormat) -> float:
        """The objective's error on the held-back images."""
        return float(self.objective.error(self.parts(student, form)))

    def loss(self, student: Student, step: int, form: MemoryFormat) -> Any:
        """The objective's loss on the varied images of a step."""
        data = self.data
        generator = np.random.default_rng((self.tuning.seed, step))
        chosen = _drawn(len(data.training), self.batch, step, self.tuning.seed)
        views = vary(data.training[chosen], generator, self.pixels)
        seen = in_format(views.images, form)
        places = zip(chosen.tolist(), views.windows, views.mirrored, strict=True)
        objects = [data.training_objects[i].seen_through(window, mirrored) for i, window, mirrored in places]
        with torch.no_grad():
            expected = self.teacher.run(seen, self.objective.wanted)
        return self.objective.loss(
            self.objective.parts(student.run(seen, self.objective.wanted), expected, objects)
        )


def teach(
    student: Student,
    lessons: Lessons,
    key: str,
    title: str,
    progress: Progress = SILENT,
    checkpoint: Path | None = None,
) -> Course:
    """Train a student in place, until it is in the state with the least error on the held-back images.

    Args:
        student: The network that learns.
        lessons: What it learns from, with an objective that has its units.
        key: Hash of all that the result depends on.
        title: What is done, for people.
        progress: Told of every step.
        checkpoint: File that keeps the state of the training; where it holds one of the same, that goes on.

    Raises:
        TrainingError: The loss is not finite.
        OutputError: The checkpoint cannot be written.
    """
    progress.step(title, lessons.steps)
    task = Task(
        loss=lambda step, form: lessons.loss(student, step, form),
        error=lambda form: lessons.error(student, form),
        rates=RATES,
        steps=lessons.steps,
        key=key,
        unit=lessons.objective.unit,
    )
    return train(student, task, lessons.tuning, progress, checkpoint)


def in_format(images: Any, form: MemoryFormat) -> Any:
    """NHWC images whose memory lies in the given format."""
    if form == "channels-last":
        return images.contiguous()
    return images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)


def _pieces(images: Any, size: int) -> Iterator[Any]:
    for first in range(0, len(images), size):
        yield images[first : first + size]


def _drawn(count: int, batch: int, step: int, seed: int) -> Any:
    """The images of a step: all of them in a new order, again and again."""
    places = [divmod(place, count) for place in range(step * batch, (step + 1) * batch)]
    orders = {epoch: np.random.default_rng((seed, epoch, count)).permutation(count) for epoch, _ in places}
    return torch.tensor([int(orders[epoch][place]) for epoch, place in places])
