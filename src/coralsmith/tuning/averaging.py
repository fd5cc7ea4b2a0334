"""The mean of parameters over the last steps: what is checked and delivered in place of the last state alone.

A weight near the border between two integers goes to and fro from step to step (Nagel et al. 2022), and some such
weights cost much; in the mean it lies on the side where it was more often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch

MOST_INERTIA: Final = 0.95
"""Share of the mean that a step leaves as it is. The mean tells of the last tenth of all steps, of 20 at most."""


class Average:
    """An exponential mean of parameters.

    Args:
        parameters: By name; they change in place from step to step.

    Attributes:
        values: The mean, by name.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self.values = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def update(self, step: int) -> None:
        """Take in the parameters as they are after a step, counted from 1."""
        inertia = min(MOST_INERTIA, step / (step + 9))
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                self.values[name].lerp_(parameter, 1.0 - inertia)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mean in place of the parameters, until the block ends."""
        last = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        put(self._parameters, self.values)
        try:
            yield
        finally:
            put(self._parameters, last)

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on from a mean that was kept."""
        self.values = {name: values[name].to(parameter) for name, parameter in self._parameters.items()}


def put(parameters: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Give parameters values, in place."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
