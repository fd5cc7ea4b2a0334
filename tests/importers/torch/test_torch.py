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
from coralsmith.errors import MalformedModelError
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


def made(part: str, target: Path) -> Path:
    """A folder that `make_sources` fills."""
    command = [sys.executable, "-m", "tests.importers.torch.make_sources", str(target), part]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("small", tmp_path_factory.mktemp("torch sources"))


@pytest.fixture(scope="module")
def forms(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shared.is_dir()
    return made("cells", tmp_path_factory.mktemp("blood cells"))


@pytest.fixture(scope="module")
def cells(blood_cells: list[np.ndarray]) -> list[np.ndarray]:
    return [resize_image(photo, (300, 300)) for photo in blood_cells]


@pytest.mark.parametrize("name", ["cells.pt2", "cells.pth", "cells_dynamo.onnx", "cells_script.onnx"])
def test_one_set_of_weights_detects_the_same_in_every_form(
    name: str, forms: Path, shared: Path, cells: list[np.ndarray]
) -> None:
    imported = import_model(forms / name, images=cells, **CELLS.get(name, {}))
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


def test_a_program_whose_pickles_hold_code_is_refused_and_nothing_runs(folder: Path) -> None:
    with pytest.raises(MalformedModelError, match="cannot load the program"):
        import_model(folder / "bomb.pt2")
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize("name", ["whole.pth", "script.pt"])
def test_a_trusted_pickle_or_script_is_read(folder: Path, name: str) -> None:
    imported = import_model(folder / name, trust=True, input_size="32x40")
    assert imported.verification is not None
    assert imported.verification.worst.relative <= 1e-4
