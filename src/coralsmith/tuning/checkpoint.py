"""The state of a training in a file, so that a killed run goes on where it was."""

from __future__ import annotations

import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from coralsmith.errors import OutputError
from coralsmith.graph.writer import write_atomically


@dataclass
class Checkpoint:
    """Everything that the rest of a training depends on.

    Attributes:
        key: Hash of the images, the graph and the options.
        step: Steps done.
        seconds: Time spent.
        memory_format: As it was timed; another would round the gradients otherwise.
        parameters: By name.
        optimizer: The optimiser's state.
        best: The parameters with the least held-back error.
        errors: Held-back error at each check; the first is that of the start.
        unit: What counts as 1 in the error.
    """

    key: str
    step: int = 0
    seconds: float = 0.0
    memory_format: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    errors: list[float] = field(default_factory=list)
    unit: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        stream = io.BytesIO()
        torch.save(asdict(self), stream)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{path.parent}' cannot be made: {error.strerror}.") from error
        write_atomically(path, stream.getvalue())


def load_checkpoint(path: Path | None, key: str) -> Checkpoint | None:
    """The state of an earlier run of the same training; None where there is none, or it is damaged."""
    if path is None or not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = Checkpoint(**content)
    except (OSError, RuntimeError, EOFError, TypeError, ValueError, pickle.UnpicklingError):
        return None
    return state if state.key == key else None
