"""The trained BCCD detector must score what its makers measured with code of their own (its metrics.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.evaluation.dataset import load_dataset
from coralsmith.evaluation.evaluate import evaluate
from coralsmith.graph.reader import read_tflite
from coralsmith.runtime.detector import Detector

SIZE = 300


@pytest.mark.slow
def test_float_ap_on_the_test_split(shared: Path) -> None:
    folder = shared / "models" / "bccd_ssdlite"
    graph = read_tflite(folder / "bccd_ssdlite_float.tflite")
    scores, boxes = (tensor.name for tensor in graph.outputs)
    head = DetectionHead(
        InputSpec((SIZE, SIZE), scale=1 / 127.5, offset=-1.0),
        boxes,
        scores,
        np.load(folder / "anchors.npy"),
        tuple((folder / "labels.txt").read_text("utf-8").split()),
        score=ScoreSpec("sigmoid"),
        nms=NmsSpec(iou=0.5, score=0.01, max_detections=100),
    )
    detector = Detector(graph, head)

    def detect(image: NDArray[np.uint8]) -> Detections:
        return detector.detect_resized(_sampled(image))

    result = evaluate(detect, load_dataset(shared / "data" / "bccd"), head.labels, resamples=200)
    measured = json.loads((folder / "metrics.json").read_text("utf-8"))["bccd_ssdlite_float"]
    assert result.images == 72
    assert result.ap == pytest.approx(measured["AP"], abs=0.002)
    assert result.ap50 == pytest.approx(measured["AP50"], abs=0.002)
    assert result.ap75 == pytest.approx(measured["AP75"], abs=0.005)
    for label, expected in measured["per_class"].items():
        assert result.per_class[label].ap == pytest.approx(expected["AP"], abs=0.005)
    assert result.ap_interval[0] < measured["AP"] < result.ap_interval[1]


def _sampled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image at the model's size by bilinear sampling without antialiasing, as its makers did it (OpenCV)."""
    top, bottom, down = _neighbours(image.shape[0])
    left, right, across = _neighbours(image.shape[1])
    real = image.astype(np.float64)
    rows = real[top] * (1 - down)[:, None, None] + real[bottom] * down[:, None, None]
    pixels = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    return np.rint(pixels).astype(np.uint8)


def _neighbours(length: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """For each output pixel the two source pixels around its centre, and the weight of the second."""
    centre = (np.arange(SIZE) + 0.5) * length / SIZE - 0.5
    first = np.floor(centre).astype(np.intp)
    return first.clip(0), (first + 1).clip(max=length - 1), centre - first
