"""Sources that decode their boxes themselves are cut at their raw heads; the head is proved on their own boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.head import ScoreSpec
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.writer import serialize
from coralsmith.importers import import_model, raw_heads
from tests import builders
from tests.detection.conv_detector import CLASSES, COUNT, HEIGHT, WIDTH, Spelling, anchors, conv_detector


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


def test_a_decoder_that_clips_gives_its_head_too(tmp_path: Path) -> None:
    imported = import_model(written(tmp_path, Spelling(background=4.0, clipped=(0.0, 1.0))))
    assert imported.head is not None
    np.testing.assert_allclose(imported.head.anchors, anchors(), atol=1e-5)
    cut = next(finding for finding in imported.findings if finding.rule == "decoder-cut")
    assert "clips boxes" in cut.reason


@pytest.mark.parametrize("kind", ["SLICE", "STRIDED_SLICE"])
def test_a_background_column_that_the_model_drops_comes_back_and_is_known(tmp_path: Path, kind: str) -> None:
    graph = conv_detector(Spelling(background=0.0))  # the values alone would not tell
    (scores,) = [tensor for tensor in graph.outputs if tensor.name == "scores"]
    begin, size = (
        builders.constant("b", [0, 0, 1], np.int32),
        builders.constant("s", [1, -1, CLASSES - 1], np.int32),
    )
    end, strides = builders.constant("e", [1, COUNT, CLASSES], np.int32), builders.constant("t", [1] * 3, np.int32)
    scores.name = "all"
    limits = [begin, size] if kind == "SLICE" else [begin, end, strides]
    masks = {} if kind == "SLICE" else dict.fromkeys(("end_mask", "ellipsis_mask", "new_axis_mask"), 0)
    masks |= {} if kind == "SLICE" else {"begin_mask": 3, "shrink_axis_mask": 0}
    graph.ops.append(builders.op(kind, [scores, *limits], "scores", **masks))
    graph.outputs[graph.outputs.index(scores)] = graph.ops[-1].output
    (tmp_path / "sliced.tflite").write_bytes(serialize(graph))
    imported = import_model(tmp_path / "sliced.tflite")
    assert imported.head is not None
    assert imported.head.score.background == 0
    assert "which the source itself drops" in imported.head.evidence
    assert imported.graph.tensor(imported.head.scores).shape == (1, COUNT, CLASSES)
    assert kind not in [op.kind for op in imported.graph.ops[-3:]]


def joined(folder: Path, *, constants: list[np.ndarray], background: float | None = 4.0) -> Path:
    """Scores, boxes and constants side by side in the one output, as ssd_keras has them."""
    graph = conv_detector(Spelling(background=background))
    raw = next(op.output for op in graph.ops if op.name == "raw")
    parts = [
        graph.outputs[1],
        raw,
        *(builders.constant(f"c{i}", c[None], np.float32) for i, c in enumerate(constants)),
    ]
    graph.ops.append(builders.op("CONCATENATION", parts, "all", axis=2, fused_activation_function="NONE"))
    graph.outputs = [graph.ops[-1].output]
    graph.prune()
    path = folder / "joined.tflite"
    path.write_bytes(serialize(graph))
    return path


@pytest.mark.parametrize("in_pixels", [False, True])
@pytest.mark.parametrize("x_first", [False, True])
def test_one_output_with_its_own_anchors_and_variances(tmp_path: Path, in_pixels: bool, x_first: bool) -> None:
    order = [1, 0, 3, 2] if x_first else [0, 1, 2, 3]
    unit = np.array([HEIGHT, WIDTH] * 2) if in_pixels else np.ones(4)
    variances = np.tile(np.array([0.1, 0.1, 0.2, 0.2]), (COUNT, 1))
    imported = import_model(joined(tmp_path, constants=[(anchors() * unit)[:, order], variances]))
    head = imported.head
    assert head is not None
    np.testing.assert_allclose(head.anchors, anchors(), atol=1e-6)
    assert head.box_coder.order == ("xywh" if x_first else "yxhw")
    assert head.box_coder.scales == (10.0, 10.0, 5.0, 5.0)
    assert (head.boxes, head.scores) == ("boxes", "scores")
    assert (head.score.activation, head.score.background) == ("none", 0)
    assert "output-split" in [finding.rule for finding in imported.findings]
    head.check_against(imported.graph)


def test_one_output_with_anchors_whose_scores_do_not_tell_has_the_background_of_its_kind(tmp_path: Path) -> None:
    variances = np.tile(np.array([0.1, 0.1, 0.2, 0.2]), (COUNT, 1))
    imported = import_model(joined(tmp_path, constants=[anchors(), variances], background=0.0))
    assert imported.head is not None
    assert imported.head.score == ScoreSpec("none", 0)
    assert "convention of models that put out their anchors" in imported.head.evidence


def test_one_output_without_anchors_is_taken_apart_and_left_to_recognition(tmp_path: Path) -> None:
    imported = import_model(joined(tmp_path, constants=[]))
    assert imported.head is None
    assert [(tensor.name, tensor.shape[2]) for tensor in imported.graph.outputs] == [
        ("boxes", 4),
        ("scores", CLASSES),
    ]


@pytest.mark.parametrize("case", ["corners", "variances that differ", "noise"])
def test_constant_columns_that_are_no_anchors_are_not_taken_for_some(tmp_path: Path, case: str) -> None:
    table = anchors().astype(np.float64)
    variances = np.tile(np.array([0.1, 0.1, 0.2, 0.2]), (COUNT, 1))
    if case == "corners":
        table = np.concatenate([table[:, :2] - table[:, 2:] / 2, table[:, :2] + table[:, 2:] / 2], axis=1)
    elif case == "noise":
        table = np.random.default_rng(0).uniform(0.1, 0.9, table.shape)
    else:
        variances[0] = 0.3
    imported = import_model(joined(tmp_path, constants=[table, variances]))
    assert imported.head is None
    assert len(imported.graph.outputs) == 2


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
