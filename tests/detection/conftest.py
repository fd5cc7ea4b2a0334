"""The trained blood-cell detector and photos for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.images import load_rgb
from coralsmith.detection.preprocess import resize_image
from coralsmith.graph import Graph
from coralsmith.graph.reader import read_tflite


@pytest.fixture(scope="session")
def bccd_graph(shared: Path) -> Graph:
    """Float, outputs scores [1, 1917, 3] and boxes [1, 1917, 4]; not to be changed."""
    return read_tflite(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite")


@pytest.fixture(scope="session")
def bccd_images(shared: Path) -> list[np.ndarray]:
    """The first twelve photos of its test split, uint8 RGB [300, 300, 3]."""
    names = (shared / "data/bccd/ImageSets/Main/test.txt").read_text().split()[:12]
    return [resize_image(load_rgb(shared / f"data/bccd/JPEGImages/{name}.jpg"), (300, 300)) for name in names]
