"""Exports of the TF Object Detection API are cut at their raw heads, and detect what they detected before."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coralsmith.compat.check import check_graph
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.detection.nms import intersection_over_union
from coralsmith.graph.executor import Executor
from coralsmith.importers import Imported, import_model
from coralsmith.repair.driver import repair

pytestmark = pytest.mark.slow
SIDE = 96
GENUINE = "models/tf2_od_api_ssd_mobilenet_v2_random"


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export folder of an FPNLite detector."""
    pytest.importorskip("tensorflow", reason="needs coralsmith[tensorflow]")
    folder = tmp_path_factory.mktemp("exports")
    script = Path(__file__).with_name("make_api_exports.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(SIDE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "pyramid"


@pytest.fixture(scope="module")
def inference(pyramid: Path) -> Imported:
    return import_model(pyramid)


def outcome(imported: Imported, head: DetectionHead | None) -> tuple[InputSpec, ScoreSpec, NmsSpec]:
    assert head is not None
    head.check_against(imported.graph)
    return head.input, head.score, head.nms


def test_an_fpnlite_export_gives_its_head_away(pyramid: Path, inference: Imported) -> None:
    head = inference.head
    spec, score, nms = outcome(inference, head)
    assert head is not None
    assert spec.size == (SIDE, SIDE)
    assert (spec.scale, spec.offset) == (pytest.approx(2 / 255), -1.0)
    assert (score, nms) == (ScoreSpec("sigmoid", 0), NmsSpec(0.6, 1e-8, 100))
    np.testing.assert_allclose(head.anchors, np.load(pyramid / "anchors.npy"), atol=1e-6)
    assert inference.verification is not None
    assert inference.verification.worst.relative < 1e-4


def test_its_pipeline_config_agrees_and_would_have_been_enough(pyramid: Path, inference: Imported) -> None:
    completed = choose_head(inference.graph, pyramid, carried=inference.head)
    assert completed.labels == ("fish", "crab", "star")
    assert "multiscale_anchor_generator of pipeline.config makes the same anchors" in completed.evidence
    alone = choose_head(inference.graph, pyramid)
    np.testing.assert_allclose(alone.anchors, completed.anchors, atol=1e-6)
    assert replace(alone, anchors=completed.anchors).to_json() | {"evidence": ""} == completed.to_json() | {
        "evidence": ""
    }


def test_the_graph_with_this_head_detects_what_the_export_detects(pyramid: Path, inference: Imported) -> None:
    head = inference.head
    assert head is not None
    expected = np.load(pyramid / "detections.npz")
    executor = Executor(inference.graph)
    total = found = 0
    for number, picture in enumerate(expected["pictures"]):
        outputs = dict(
            zip(
                (tensor.name for tensor in inference.graph.outputs),
                executor.run(head.input.normalise(picture[None])),
                strict=True,
            )
        )
        ours = decode_detections(outputs[head.boxes], outputs[head.scores], head).clipped()
        confident = expected["detection_scores"][number] >= 0.3
        boxes = expected["detection_boxes"][number][confident]
        for box, label in zip(boxes, expected["detection_classes"][number][confident] - 1, strict=True):
            rivals = ours.boxes[ours.class_ids == int(label)]
            found += bool(len(rivals)) and bool(intersection_over_union(box, rivals.T).max() >= 0.99)
        total += len(boxes)
    assert total > 100
    assert found >= 0.995 * total


def test_upsampling_by_stacking_is_mapped_with_all_the_rest(inference: Imported) -> None:
    repaired = repair(inference.graph).graph
    assert sum(op.kind == "RESIZE_NEAREST_NEIGHBOR" for op in repaired.ops) == 2
    report = check_graph(repaired, model="pyramid", as_if_quantized=True)
    assert (report.ops_cpu, report.ops_unknown, report.partitions) == (0, 0, 1)


@pytest.mark.parametrize(
    ("folder", "score", "nms"),
    [
        ("saved_model", ScoreSpec("sigmoid", 0), NmsSpec(0.6, 1e-8, 100)),
        ("tflite_saved_model", ScoreSpec("none", 0), NmsSpec(0.6, 0.0, 10)),
    ],
)
def test_genuine_exports(shared: Path, folder: str, score: ScoreSpec, nms: NmsSpec) -> None:
    pytest.importorskip("tensorflow", reason="needs coralsmith[tensorflow]")
    path = shared / GENUINE / folder
    imported = import_model(path)
    head = choose_head(imported.graph, path, carried=imported.head)
    assert outcome(imported, head)[1:] == (score, nms)
    assert [(t.name, t.shape) for t in imported.graph.outputs] == [
        ("boxes", (1, 1917, 4)),
        ("scores", (1, 1917, 6)),
    ]
    assert "ssd_anchor_generator of pipeline.config makes the same anchors" in head.evidence
    report = check_graph(repair(imported.graph).graph, model=folder, as_if_quantized=True)
    assert (report.ops_cpu, report.ops_unknown, report.partitions) == (0, 0, 1)
