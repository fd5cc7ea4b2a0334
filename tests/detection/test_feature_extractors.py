"""Every published feature extractor is fed as its own `preprocess` does it."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.detection.feature_extractors import find_extractor, known_extractor
from coralsmith.errors import DetectionHeadError

PIXELS = np.array([[[0, 100, 255], [12, 34, 56]]], np.uint8)


def minus_one_to_one(x: np.ndarray) -> np.ndarray:
    return (2.0 / 255.0) * x - 1.0


def without_means(x: np.ndarray) -> np.ndarray:
    return x - np.array([123.68, 116.779, 103.939])


def imagenet(x: np.ndarray) -> np.ndarray:
    return (x / 255.0 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("ssd_mobilenet_v2_keras", minus_one_to_one),
        ("ssd_mobilenet_v2_fpn_keras", minus_one_to_one),
        ("ssd_mobilenet_v1_ppn", minus_one_to_one),
        ("ssd_mobiledet_edgetpu", minus_one_to_one),
        ("ssd_mobilenet_edgetpu", minus_one_to_one),
        ("ssd_inception_v2", minus_one_to_one),
        ("ssd_resnet50_v1_fpn_keras", without_means),
        ("ssd_resnet101_v1_ppn", without_means),
        ("ssd_efficientnet-b0_bifpn_keras", imagenet),
    ],
)
def test_pixels_become_what_the_api_makes_of_them(name: str, preprocess: object) -> None:
    assert callable(preprocess)
    spec = known_extractor(name).input((320, 320), "stretch")
    assert np.allclose(spec.normalise(PIXELS), preprocess(PIXELS.astype(np.float64)), atol=1e-4)


def test_an_unknown_one_is_named_and_never_guessed() -> None:
    assert find_extractor("my_own_net") is None
    with pytest.raises(DetectionHeadError, match="my_own_net") as caught:
        known_extractor("my_own_net")
    assert "--head" in caught.value.hint
