"""The head of MediaPipe and Model Maker files comes from their metadata; what is wrong in it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.head import InputSpec, ScoreSpec
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.errors import MalformedModelError
from coralsmith.graph import Graph
from coralsmith.graph.writer import serialize
from coralsmith.importers import import_model
from coralsmith.importers.imported import Imported
from coralsmith.importers.tflite_metadata import read_metadata
from tests.importers.model_maker import Packed, halved, pack
from tests.tiny_detector import SIDE, tiny_detector, tiny_head

ANCHORS = tiny_head().anchors
PACKED = Packed(ANCHORS, 2, ["left", "right"])


def imported(folder: Path, packed: Packed, graph: Graph | None = None) -> Imported:
    path = folder / "model maker.tflite"
    path.write_bytes(pack(serialize(graph or tiny_detector()), packed))
    return import_model(path)


def rules(result: Imported) -> set[str]:
    return {finding.rule for finding in result.findings} - {"import-verified-on-noise"}


def test_the_whole_head_is_in_the_metadata(tmp_path: Path) -> None:
    result = imported(tmp_path, replace(PACKED, scales=(10.0, 10.0, 5.0, 5.0), threshold=0.25))
    head = result.head
    assert head is not None
    assert np.array_equal(head.anchors, ANCHORS)
    assert (head.boxes, head.scores, head.labels) == ("boxes", "scores", ("left", "right"))
    assert head.input == InputSpec((SIDE, SIDE), scale=1 / 127.5, offset=-1.0)
    assert head.score == ScoreSpec("sigmoid", None)
    assert head.nms.score == 0.25
    assert "the model's metadata (DETECTOR_METADATA)" in head.evidence
    assert rules(result) == set()


def test_outputs_are_told_by_their_names_not_by_their_order(tmp_path: Path) -> None:
    graph = tiny_detector()
    graph.outputs.reverse()
    head = imported(tmp_path, replace(PACKED, output_names=("score", "location")), graph).head
    assert head is not None
    assert (head.boxes, head.scores) == ("boxes", "scores")


@pytest.mark.parametrize("name", ["background", "???"])
def test_a_first_label_that_names_the_background_is_column_0(tmp_path: Path, name: str) -> None:
    head = imported(tmp_path, replace(PACKED, labels=[name, "cell"])).head
    assert head is not None
    assert (head.labels, head.score.background) == (("cell",), 0)


def test_one_label_less_than_columns_is_a_background_without_a_label(tmp_path: Path) -> None:
    head = imported(tmp_path, replace(PACKED, labels=["cell"])).head
    assert head is not None
    assert (head.labels, head.score.background) == (("cell",), 0)


def test_half_precision_weights_and_scores_that_the_model_activates_itself(tmp_path: Path) -> None:
    result = imported(tmp_path, replace(PACKED, sigmoid=False), halved(tiny_detector()))
    assert result.head is not None
    assert result.head.score.activation == "none"
    assert "DEQUANTIZE" not in [op.kind for op in result.graph.ops]
    assert result.verification is not None
    assert result.verification.worst.relative < 1e-6


def test_channels_of_different_normalisation(tmp_path: Path) -> None:
    head = imported(tmp_path, replace(PACKED, mean=(120.0, 110.0, 100.0), std=(60.0,))).head
    assert head is not None
    assert head.input == InputSpec((SIDE, SIDE), mean=(120.0, 110.0, 100.0), std=(60.0, 60.0, 60.0))


def test_a_model_with_the_operator_gets_its_labels_from_the_metadata(tmp_path: Path) -> None:
    graph = attach_postprocess_op(*append_score_activation(tiny_detector(), tiny_head()))
    names = ("location", "category", "score", "number of detections")
    packed = Packed(None, 0, ["left", "right"], names, mean=(0.0,), std=(255.0,))
    result = imported(tmp_path, packed, graph)
    assert result.head is not None
    assert result.head.labels == ("left", "right")
    assert result.head.input == InputSpec((SIDE, SIDE), scale=1 / 255, offset=0.0)
    assert rules(result) == {"operator-taken-off"}
    assert [tensor.shape[-1] for tensor in result.graph.outputs] == [4, 2]


def test_labels_and_input_without_decoding_are_hints_for_recognition(tmp_path: Path) -> None:
    result = imported(tmp_path, Packed(None, 0, ["background", "left", "right"]))
    assert result.head is None
    assert result.hints.class_names == ("left", "right")
    assert result.hints.input == InputSpec((SIDE, SIDE), scale=1 / 127.5, offset=-1.0)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (replace(PACKED, anchors=ANCHORS[:-1]), "anchors is a list of 71"),
        (replace(PACKED, anchors=ANCHORS * 300), "pixels"),
        (replace(PACKED, exponential=False), "not coded by their logarithm"),
        (replace(PACKED, scales=(0.0, 10.0, 5.0, 5.0)), "box_coder.scales"),
        (replace(PACKED, labels=None), "no labels"),
        (replace(PACKED, labels=list("abcd")), "4 labels for 2 score columns"),
        (replace(PACKED, classes=3, labels=list("abc")), "labels is for 3 columns"),
    ],
)
def test_a_head_that_does_not_fit_is_told_and_not_used(tmp_path: Path, packed: Packed, reason: str) -> None:
    result = imported(tmp_path, packed)
    assert result.head is None
    finding = next(finding for finding in result.findings if finding.rule == "metadata-not-used")
    assert reason in finding.reason
    assert "--head" in finding.fix


def test_a_score_calibration_is_told(tmp_path: Path) -> None:
    assert rules(imported(tmp_path, replace(PACKED, calibrated=True))) == {"score-calibration-dropped"}


def test_a_label_file_that_is_missing_or_too_large_is_told(tmp_path: Path) -> None:
    content = pack(serialize(tiny_detector()), PACKED)
    with pytest.raises(MalformedModelError, match=r"'labels\.txt' that the metadata names is not there"):
        read_metadata(content[: content.index(b"PK\x03\x04")])
    with pytest.raises(MalformedModelError, match="larger than"):
        read_metadata(pack(serialize(tiny_detector()), replace(PACKED, labels=["x" * 2**21])))


def test_damaged_metadata_never_raises_anything_else(tmp_path: Path) -> None:
    content = bytearray(pack(serialize(tiny_detector()), replace(PACKED, calibrated=True)))
    start = content.index(b"M001") - 4
    noise = np.random.default_rng(0)
    for _ in range(300):
        damaged = content.copy()
        for position in noise.integers(start, len(content), 3):
            damaged[position] = noise.integers(256)
        try:
            read_metadata(bytes(damaged))
        except MalformedModelError as error:
            assert "metadata" in error.message or "label file" in error.message or "archive" in error.message


def test_a_file_without_metadata_has_none() -> None:
    assert read_metadata(serialize(tiny_detector())) is None


def test_the_users_head_still_wins(tmp_path: Path) -> None:
    result = imported(tmp_path, PACKED)
    tiny_head().save(tmp_path / "own.json")
    head = choose_head(result.graph, tmp_path / "m", carried=result.head, head_file=tmp_path / "own.json")
    assert head.evidence == "built by a test"
