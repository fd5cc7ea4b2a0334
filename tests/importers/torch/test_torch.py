"""PyTorch sources end to end, on a small module and on the trained blood cell detector in four forms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coralsmith.compat.check import check_graph
from coralsmith.detection.preprocess import resize_image
from coralsmith.detection.recognition import recognise
from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError, UsageError
from coralsmith.importers import import_model
from coralsmith.repair.driver import repair
from tests.importers.onnx.test_ultralight import detections, share_found_again

pytest.importorskip("torch", reason="needs coralsmith[torch]")
pytest.importorskip("onnxscript", reason="needs coralsmith[torch]")
pytestmark = pytest.mark.slow

SMALL = "tests.importers.torch.small"
CELLS = {
    "cells.pt2": {},
    "cells.pth": {"factory": "tests.importers.torch.ported:blank_detector", "input_size": "300"},
}


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make_sources` fills."""
    target = tmp_path_factory.mktemp("torch sources")
    command = [sys.executable, "-m", "tests.importers.torch.make_sources", str(target)]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return target


@pytest.fixture(scope="module")
def cells(blood_cells: list[np.ndarray]) -> list[np.ndarray]:
    return [resize_image(photo, (300, 300)) for photo in blood_cells]


@pytest.mark.parametrize("name", ["cells.pt2", "cells.pth", "cells_dynamo.onnx", "cells_script.onnx"])
def test_one_set_of_weights_detects_the_same_in_every_form(
    name: str, folder: Path, shared: Path, cells: list[np.ndarray]
) -> None:
    imported = import_model(folder / name, images=cells, **CELLS.get(name, {}))
    assert imported.verification is not None
    assert imported.verification.worst.relative <= 1e-4
    reference = import_model(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite", images=cells).graph
    expected = detections(reference, recognise(reference, cells), cells)
    found = detections(imported.graph, recognise(imported.graph, cells), cells)
    assert share_found_again(expected, found) >= 0.995
    assert share_found_again(found, expected) >= 0.995
    assert not [op for op in imported.graph.ops if op.kind in ("TRANSPOSE", "SHAPE", "FILL", "GATHER")]
    repaired = repair(imported.graph, "exact").graph
    report = check_graph(repaired, model=name, as_if_quantized=True)
    assert [op for op in report.ops if op.target != "edgetpu"] == []
    assert report.partitions == 1


def test_a_checkpoint_of_a_training_script_fills_the_factorys_module(folder: Path) -> None:
    imported = import_model(folder / "checkpoint.pth", factory=f"{SMALL}:Small", input_size=(32, 40))
    assert [(t.name, t.shape) for t in imported.graph.outputs] == [
        ("output_0", (1, 640, 4)),
        ("output_1_scores", (1, 640, 3)),
    ]
    assert [op.kind for op in imported.graph.ops].count("CONV_2D") == 3
    assert {"torch", "onnx", "onnxscript"} <= imported.source.versions.keys()


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("whole.pth", {"factory": f"{SMALL}:Small"}, UnsupportedModelError, "holds more than weights"),
        ("other.pth", {"factory": f"{SMALL}:Small"}, UnsupportedModelError, "do not fit the factory's module"),
        ("checkpoint.pth", {"factory": f"{SMALL}:Smal"}, UsageError, "cannot be imported"),
        ("checkpoint.pth", {"factory": "small"}, UsageError, "is no factory"),
        ("checkpoint.pth", {"factory": f"{SMALL}:no_module"}, UsageError, "made a int"),
        ("checkpoint.pth", {"factory": f"{SMALL}:failing"}, UsageError, "no such configuration"),
        ("open.pt2", {}, UnsupportedModelError, "leaves sizes open"),
        ("bomb.pt2", {}, MalformedModelError, "cannot load the program"),
    ],
)
def test_what_cannot_be_read_says_why(
    folder: Path, name: str, options: dict[str, str], error: type[CoralsmithError], message: str
) -> None:
    size = {} if name.endswith("pt2") else {"input_size": "32x40"}
    with pytest.raises(error, match=message):
        import_model(folder / name, **options, **size)
    assert not (folder / "exploded").exists(), "code of the file was run"


@pytest.mark.parametrize("name", ["whole.pth", "script.pt"])
def test_a_trusted_pickle_or_script_is_read(folder: Path, name: str) -> None:
    imported = import_model(folder / name, trust=True, input_size="32x40")
    assert imported.verification is not None
    assert imported.verification.worst.relative <= 1e-4
