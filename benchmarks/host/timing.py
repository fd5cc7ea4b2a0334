"""Times of short functions on a machine that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """What a function took, in milliseconds.

    Attributes:
        least: The mean over the inputs of the shortest run on each: what the machine can do.
        median: Of all runs: what it did.
    """

    least: float
    median: float


def time_in_turn(
    functions: Mapping[str, Callable[[int], object]], inputs: int, rounds: int, prepare: Callable[[int], object]
) -> dict[str, Times]:
    """Time functions in turn on the same inputs, so that a disturbance meets all of them.

    Args:
        functions: Each takes the number of an input.
        inputs: How many there are.
        rounds: Runs of each function on each input; one more, before them, is not counted.
        prepare: Called before each group of runs on an input, outside the clock.
    """
    taken = {name: np.empty((rounds, inputs)) for name in functions}
    order = np.random.default_rng(0)
    names = list(functions)
    for turn in range(-1, rounds):
        for number in range(inputs):
            prepare(number)
            for name in order.permutation(names):  # who follows a large one finds the caches empty
                start = time.perf_counter()
                functions[name](number)
                taken[name][turn, number] = time.perf_counter() - start
    return {
        name: Times(float(runs.min(axis=0).mean()) * 1e3, float(np.median(runs)) * 1e3)
        for name, runs in taken.items()
    }
