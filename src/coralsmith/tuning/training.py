"""The loop: steps of the optimiser, checks on held-back images, checkpoints, an early end; the best state wins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from coralsmith.errors import TrainingError
from coralsmith.progress import Progress
from coralsmith.tuning.averaging import Average, put
from coralsmith.tuning.checkpoint import Checkpoint, load_checkpoint
from coralsmith.tuning.options import MemoryFormat, TuningOptions

CHECKS: Final = 10
"""How often a whole training is checked on the held-back images."""

LEAST_GAIN: Final = 0.02
"""A smaller share of the held-back error is no gain: another sample of images could turn it round."""

WARM_UP: Final = 0.05
LAST_RATE: Final = 0.02
"""Shares of the steps with a rising learning rate, and of the rate that is left at the end."""


class Model(Protocol):
    """What can be trained."""

    parameters: dict[str, Any]

    def confine(self) -> None:
        """Make the parameters valid after a step."""


@dataclass(frozen=True)
class Task:
    """What a training makes small.

    Attributes:
        loss: The loss of a step by its number, in a memory format; a torch scalar.
        error: The error on the held-back images, in a memory format.
        rates: Learning rate of each parameter, as a factor, by the part of its name before the last "_".
        steps: Planned steps.
        key: Hash of all that the result depends on.
        unit: What counts as 1 in loss and error; kept with the checkpoint, and filled from it.
    """

    loss: Callable[[int, MemoryFormat], Any]
    error: Callable[[MemoryFormat], float]
    rates: dict[str, float]
    steps: int
    key: str
    unit: dict[str, float]


@dataclass(frozen=True)
class Course:
    """How a training went.

    Attributes:
        steps: Steps done.
        errors: Held-back error at each check; the first is that of the start.
        ended: "done", "early" (no better for long) or "time".
        memory_format: As it was chosen.
    """

    steps: int
    errors: list[float]
    ended: str
    memory_format: str

    @property
    def gain(self) -> float:
        """The least held-back error as a share of that of the start."""
        return min(self.errors) / self.errors[0]

    @property
    def has_gained(self) -> bool:
        """Whether the best state is to be taken for better than the start."""
        return self.gain < 1.0 - LEAST_GAIN


def train(
    model: Model, task: Task, options: TuningOptions, progress: Progress, checkpoint: Path | None = None
) -> Course:
    """Train a model in place; in the end it is in the state with the least held-back error.

    Raises:
        TrainingError: The loss is not finite.
        OutputError: The checkpoint cannot be written.
    """
    called = time.monotonic()
    optimizer = torch.optim.Adam(_parameter_groups(model, task, options))
    peaks = [group["lr"] for group in optimizer.param_groups]
    average = Average(model.parameters)
    state = load_checkpoint(checkpoint, task.key)
    if state is None:
        state = Checkpoint(task.key, memory_format=_fastest_format(model, task, options))
        state.errors.append(task.error(state.memory_format))  # type: ignore[arg-type]
        state.best = _copy(model.parameters)
        state.unit = dict(task.unit)
    else:
        put(model.parameters, state.parameters or state.best)
        average.restore(state.average or state.best)
        task.unit.update(state.unit)
        if state.optimizer:
            optimizer.load_state_dict(state.optimizer)
        progress.note(f"taken up after step {state.step} of the earlier run")
        progress.advance(state.step)
    began, every, ended = called - state.seconds, max(1, task.steps // CHECKS), "done"
    while state.step < task.steps:
        share = _share(state.step, task.steps, time.monotonic() - began, options.minutes)
        if share >= 1.0:
            ended = "time"
            break
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * _schedule(share)
        _step(model, task, optimizer, state)
        state.step += 1
        average.update(state.step)
        progress.advance()
        if state.step % every == 0 or state.step == task.steps:
            _check(model, average, task, state, progress)
            state.seconds = time.monotonic() - began
            if checkpoint is not None:
                state.parameters, state.average = _copy(model.parameters), _copy(average.values)
                state.optimizer = optimizer.state_dict()
                state.save(checkpoint)
            if len(state.errors) - 1 - state.errors.index(min(state.errors)) >= options.patience:
                ended = "early"
                break
    if ended == "time":
        _check(model, average, task, state, progress)
    put(model.parameters, state.best)
    return Course(state.step, state.errors, ended, state.memory_format)


def _parameter_groups(model: Model, task: Task, options: TuningOptions) -> list[dict[str, Any]]:
    groups: dict[float, list[Any]] = {}
    for name, parameter in model.parameters.items():
        groups.setdefault(task.rates[name.rpartition("_")[0] or name], []).append(parameter)
    return [{"params": members, "lr": options.learning_rate * rate} for rate, members in groups.items()]


def _share(step: int, steps: int, seconds: float, minutes: float) -> float:
    """The share of the training that is over, by steps or by time, whichever is more."""
    return max(step / steps, seconds / (60 * minutes) if minutes else 0.0)


def _schedule(share: float) -> float:
    """Linear warm-up, then half a cosine: a factor of the peak learning rate."""
    if share < WARM_UP:
        return (share + 0.1 * WARM_UP) / (1.1 * WARM_UP)
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def _step(model: Model, task: Task, optimizer: Any, state: Checkpoint) -> None:
    loss = task.loss(state.step, state.memory_format)  # type: ignore[arg-type]
    optimizer.zero_grad()
    loss.backward()
    steepness = torch.nn.utils.get_total_norm([p.grad for p in model.parameters.values() if p.grad is not None])
    for name, value in (("loss", float(loss.detach())), ("gradient", float(steepness))):
        if not math.isfinite(value):
            raise TrainingError(
                f"The {name} became {value} in step {state.step + 1}.",
                hint="Lower --learning-rate; if it stays, the float model itself is not finite on these images.",
            )
    optimizer.step()
    model.confine()


def _check(model: Model, average: Average, task: Task, state: Checkpoint, progress: Progress) -> None:
    with average.in_place():
        model.confine()
        error = task.error(state.memory_format)  # type: ignore[arg-type]
        if error < min(state.errors):
            state.best = _copy(model.parameters)
    state.errors.append(error)
    progress.note(f"step {state.step}: held-back error {error:.3f}, at the start {state.errors[0]:.3f}")


def _fastest_format(model: Model, task: Task, options: TuningOptions) -> MemoryFormat:
    """The memory format in which a step takes less time; the first try of each warms up."""
    if options.memory_format != "auto":
        return options.memory_format
    formats: tuple[MemoryFormat, MemoryFormat] = ("channels-last", "contiguous")
    seconds = {}
    for name in (*formats, *formats):
        begin = time.perf_counter()
        task.loss(0, name).backward()
        seconds[name] = time.perf_counter() - begin
    for parameter in model.parameters.values():
        parameter.grad = None
    return min(formats, key=lambda name: seconds[name])


def _copy(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu().clone() for name, value in parameters.items()}
