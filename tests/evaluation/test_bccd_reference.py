"""The trained BCCD detector must score what its makers measured with code of their own (its metrics.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.evaluation.dataset import load_dataset
from coralsmith.evaluation.evaluate import evaluate
from coralsmith.graph.reader import read_tflite
from coralsmith.runtime.detector import Detector


@pytest.mark.slow
def test_float_ap_on_the_test_split(shared: Path) -> None:
    folder = shared / "models" / "bccd_ssdlite"
    graph = read_tflite(folder / "bccd_ssdlite_float.tflite")
    scores, boxes = (tensor.name for tensor in graph.outputs)
    head = DetectionHead(
        InputSpec((300, 300), scale=1 / 127.5, offset=-1.0),
        boxes,
        scores,
        np.load(folder / "anchors.npy"),
        tuple((folder / "labels.txt").read_text("utf-8").split()),
        score=ScoreSpec("sigmoid"),
        nms=NmsSpec(iou=0.5, score=0.01, max_detections=100),
    )
    result = evaluate(
        Detector(graph, head).detect, load_dataset(shared / "data" / "bccd"), head.labels, resamples=200
    )
    measured = json.loads((folder / "metrics.json").read_text("utf-8"))["bccd_ssdlite_float"]
    assert result.images == 72
    assert result.ap == pytest.approx(measured["AP"], abs=0.003)
    assert result.ap50 == pytest.approx(measured["AP50"], abs=0.003)
    assert result.ap75 == pytest.approx(measured["AP75"], abs=0.01)
    for label, expected in measured["per_class"].items():
        assert result.per_class[label].ap == pytest.approx(expected["AP"], abs=0.01)
    assert result.ap_interval[0] < measured["AP"] < result.ap_interval[1]
