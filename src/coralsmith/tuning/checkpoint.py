"""The state of a training in a file, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import OutputError
from coralsmith.graph import Array, Graph
from coralsmith.graph.writer import serialize_for_interpreter, write_atomically
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.tuning.objects import LabelledInputs
from coralsmith.tuning.options import TuningOptions

_FORMAT: Final = 2  # to be raised when a training of the same would go another way


@dataclass
class Checkpoint:
    """Everything that the rest of a training depends on.

    Attributes:
        key: Hash of the images, the graph and the options.
        step: Steps done.
        seconds: Time spent.
        memory_format: As it was timed; another would round the gradients otherwise.
        parameters: By name.
        average: Their mean over the last steps.
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
    average: dict[str, Any] = field(default_factory=dict)
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


def training_key(
    graphs: Iterable[Graph],
    images: list[Array],
    labelled: LabelledInputs | None,
    head: DetectionHead | None,
    options: QuantizationOptions,
    tuning: TuningOptions,
) -> str:
    """Hash of all that a training depends on: graphs, images, labels, head, choices, torch."""
    hasher = hashlib.sha256(repr((_FORMAT, torch.__version__)).encode())
    if head is not None:
        hasher.update(json.dumps(head.to_json(), default=str).encode())
    for model in graphs:
        hasher.update(serialize_for_interpreter(model)[0])
    for image in images:
        hasher.update(image.tobytes())
    if labelled is not None:
        hasher.update(labelled.images.tobytes())
        for one in labelled.objects:
            hasher.update(one.boxes.tobytes() + one.columns.tobytes() + one.ignored.tobytes())
        hasher.update(repr(labelled.columns).encode())
    hasher.update(repr((asdict(options), asdict(tuning))).encode())
    return hasher.hexdigest()
