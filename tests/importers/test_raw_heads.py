"""Sources that decode their boxes themselves are cut at their raw heads; the head is proved on their own boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.writer import serialize
from coralsmith.importers import import_model, raw_heads
from tests.detection.conv_detector import CLASSES, Spelling, anchors, conv_detector


def written(folder: Path, spelling: Spelling | None) -> Path:
    path = folder / "detector.tflite"
    path.write_bytes(serialize(conv_detector(spelling)))
    return path


def test_the_head_comes_from_the_decoder_and_the_graph_ends_at_its_raw_boxes(tmp_path: Path) -> None:
    imported = import_model(written(tmp_path, Spelling(background=4.0)))
    head = imported.head
    assert head is not None
    np.testing.assert_allclose(head.anchors, anchors(), atol=1e-5)
    assert (head.boxes, head.scores) == ("raw_boxes", "scores")
    assert (head.score.activation, head.score.background) == ("none", 0)
    assert head.labels == tuple(f"class {number}" for number in range(CLASSES - 1))
    assert "the model's own decoder, xywh with scales 10, 10, 5, 5" in head.evidence
    assert "EXP" not in [op.kind for op in imported.graph.ops]
    assert [finding.rule for finding in imported.findings] == ["decoder-cut", "import-verified-on-noise"]
    assert imported.verification is not None
    assert [difference.name for difference in imported.verification.detections] == [
        "decoded boxes",
        "class probabilities",
    ]


def test_scores_that_are_not_understood_leave_a_question_and_no_head(tmp_path: Path) -> None:
    imported = import_model(written(tmp_path, Spelling(background=0.0)))
    assert imported.head is None
    assert "EXP" not in [op.kind for op in imported.graph.ops]
    cut = next(finding for finding in imported.findings if finding.rule == "decoder-cut")
    assert cut.severity == "warning"
    assert "--head" in cut.fix


def test_raw_heads_stay_as_they_are(tmp_path: Path) -> None:
    imported = import_model(written(tmp_path, None))
    assert imported.head is None
    assert "decoder-cut" not in [finding.rule for finding in imported.findings]
    assert [tensor.name for tensor in imported.graph.outputs] == ["boxes", "scores"]


def test_a_head_that_gives_other_boxes_than_the_source_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = raw_heads._detections

    def shifted(*arguments):
        found = own(*arguments)
        return found | {"boxes": found["boxes"] * 1.05}

    monkeypatch.setattr(raw_heads, "_detections", shifted)
    with pytest.raises(
        UnsupportedModelError, match="does not compute what LiteRT computes: output 'decoded boxes'"
    ):
        import_model(written(tmp_path, Spelling(background=4.0)))
