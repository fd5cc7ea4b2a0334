"""Source models that TensorFlow writes once for all slow tests of this room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def sources(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make_sources` fills."""
    pytest.importorskip("tensorflow", reason="needs coralsmith[tensorflow]")
    folder = tmp_path_factory.mktemp("source models")
    script = Path(__file__).with_name("make_sources.py")
    detector = shared / "models/bccd_ssdlite/bccd_ssdlite.keras"
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(detector)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def photos(paths: Sequence[Path]) -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


@pytest.fixture(scope="session")
def blood_cells(shared: Path) -> list[np.ndarray]:
    return photos(sorted((shared / "data/bccd/JPEGImages").glob("*.jpg"))[:4])


@pytest.fixture(scope="session")
def street_photos(shared: Path) -> list[np.ndarray]:
    return photos(sorted((shared / "data/coco_permissive_val").rglob("*.jpg"))[:4])
