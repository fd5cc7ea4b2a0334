"""What an importer and the child process of its framework tell each other, as files in one private folder.

Neither side needs the other's libraries: the parent has no framework, and the child no interpreter.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from coralsmith.graph import Array
from coralsmith.importers.samples import Picture, Samples

REQUEST_FILE: Final = "request.json"
PICTURES_FILE: Final = "pictures.npz"
MODEL_FILE: Final = "model.tflite"
FACTS_FILE: Final = "facts.json"
SAMPLES_FILE: Final = "samples.npz"
STAGE_FILE: Final = "stage.txt"
FAILURE_FILE: Final = "failure.json"


@dataclass(frozen=True)
class Request:
    """What the child is to import; field by field as in `ImportOptions`.

    `python_path` says where the module of `factory`, or the classes of a trusted pickle, may lie: the folder that
    the user works in.
    """

    format: str
    path: str
    trust: bool = False
    input_size: tuple[int, int] | None = None
    signature: str | None = None
    factory: str | None = None
    python_path: str | None = None

    def write(self, folder: Path, pictures: tuple[Picture, ...]) -> Path:
        """Put the request and the sample pictures into the exchange folder; returns the request's file."""
        np.savez(folder / PICTURES_FILE, *pictures)
        path = folder / REQUEST_FILE
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @staticmethod
    def read(path: Path) -> tuple[Request, list[Picture]]:
        """The request and its pictures."""
        document = json.loads(path.read_text(encoding="utf-8"))
        size = document.pop("input_size")
        with np.load(path.parent / PICTURES_FILE, allow_pickle=False) as archive:
            pictures = [archive[f"arr_{i}"] for i in range(len(archive.files))]
        return Request(**document, input_size=None if size is None else (size[0], size[1])), pictures


@dataclass(frozen=True)
class Facts:
    """What the child found out beside the model itself.

    Attributes:
        versions: Versions of the libraries used.
        outputs: For each output tensor of the `.tflite` file its meaningful name.
        source_names: For each meaningful name what the source calls that output.
        notes: One sentence each.
        head: The detection head as a `head.json` document, where the source carries one.
    """

    versions: dict[str, str]
    outputs: dict[str, str]
    source_names: dict[str, str]
    notes: list[str] = field(default_factory=list)
    head: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Put the facts into the exchange folder."""
        (folder / FACTS_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> Facts:
        """The facts in the exchange folder."""
        return Facts(**json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")))


def write_samples(samples: Samples, folder: Path) -> None:
    """Put what the source computed into the exchange folder."""
    named = {f"output:{name}": array for name, array in samples.outputs.items()}
    named |= {f"detection:{name}": array for name, array in samples.detections.items()}
    np.savez(folder / SAMPLES_FILE, allow_pickle=False, inputs=samples.inputs, **named)


def read_samples(folder: Path) -> Samples:
    """What the source computed, from the exchange folder."""
    outputs: dict[str, Array] = {}
    detections: dict[str, Array] = {}
    with np.load(folder / SAMPLES_FILE, allow_pickle=False) as archive:
        for key in archive.files:
            group, _, name = key.partition(":")
            if name:
                (outputs if group == "output" else detections)[name] = archive[key]
        return Samples(archive["inputs"], outputs, detections)
