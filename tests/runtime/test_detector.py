"""A detector takes any photo and gives boxes of that photo, whatever form its model has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import coralsmith
from coralsmith.errors import DetectionHeadError, UnsupportedModelError
from coralsmith.graph import Op
from coralsmith.runtime.detector import Detector
from tests.builders import activation, conv_graph
from tests.builders import graph as build
from tests.tiny_detector import SIDE, tiny_detector, tiny_head, write_photos, write_tiny_detector


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3)).astype(np.uint8)


def gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.linspace(0, 255, height)[:, None], np.linspace(255, 0, width)[None, :]
    channels = [np.broadcast_to(c, (height, width)) for c in (rows, columns, (rows + columns) / 2)]
    return np.stack(channels, axis=2).astype(np.uint8)


def test_boxes_are_normalised_to_the_photo_whatever_its_size() -> None:
    detector = Detector(tiny_detector(), tiny_head())
    first, second = detector.detect(gradient(SIDE, SIDE)), detector.detect(gradient(3 * SIDE, 2 * SIDE))
    np.testing.assert_allclose(first.boxes[:3], second.boxes[:3], atol=0.05)


def test_a_model_with_the_operator_and_one_with_raw_heads_detect_the_same(tmp_path: Path) -> None:
    model, photos = write_tiny_detector(tmp_path), write_photos(tmp_path / "photos")
    for name in ("op", "none"):
        coralsmith.convert(model, photos, tmp_path / name, compiler="none", postprocess=name)
    image = photo(60, 90)
    heads = {name: coralsmith.find_head(tmp_path / name / "tiny_float.tflite") for name in ("op", "none")}
    with_operator = Detector(tmp_path / "op" / "tiny_int8.tflite", heads["op"])
    raw = Detector(tmp_path / "none" / "tiny_int8.tflite", heads["none"], per_class=False)
    assert with_operator.decodes_itself and not raw.decodes_itself
    first, second = with_operator.detect(image), raw.detect(image)
    np.testing.assert_array_equal(first.class_ids[:3], second.class_ids[:3])
    np.testing.assert_allclose(first.scores[:3], second.scores[:3], atol=0.02)


def test_a_compiled_model_is_refused_with_what_to_use_instead() -> None:
    image = activation("image", (1, 4, 4, 3), np.uint8)
    compiled = Op("CUSTOM", [image], [activation("out", (1, 4), np.uint8)], custom_code="edgetpu-custom-op")
    with pytest.raises(UnsupportedModelError, match="that device only"):
        Detector(build([compiled], [image]), tiny_head())


def test_a_head_of_another_model_is_refused() -> None:
    with pytest.raises(DetectionHeadError):
        Detector(conv_graph(size=SIDE), tiny_head())
