"""Which head wins, and how its outputs are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tiny_detector import tiny_detector, tiny_head

from coralsmith.detection.head_choice import choose_head, head_beside, with_plain_names
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.errors import DetectionHeadError
from coralsmith.graph.writer import serialize


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "model.tflite"


def labelled(name: str) -> tuple[str, str]:
    return (name, name + "2")


def test_the_users_file_wins_over_the_sources_own_head(source: Path, tmp_path: Path) -> None:
    replace(tiny_head(), labels=labelled("given")).save(tmp_path / "given.json")
    carried = replace(tiny_head(), labels=labelled("carried"))
    head = choose_head(tiny_detector(), source, carried=carried, head_file=tmp_path / "given.json")
    assert head.labels == labelled("given")


def test_the_sources_own_head_wins_over_a_file_beside_it(source: Path) -> None:
    replace(tiny_head(), labels=labelled("beside")).save(source.parent / "head.json")
    carried = replace(tiny_head(), labels=labelled("carried"))
    assert choose_head(tiny_detector(), source, carried=carried).labels == labelled("carried")


@pytest.mark.parametrize("name", ["model_head.json", "model.head.json", "head.json"])
def test_a_file_beside_the_model_is_found(source: Path, name: str) -> None:
    tiny_head().save(source.parent / name)
    assert head_beside(source) == source.parent / name
    assert choose_head(tiny_detector(), source).evidence == "built by a test"


def test_a_model_that_ends_in_the_operator_tells_its_head(source: Path) -> None:
    graph = attach_postprocess_op(*append_score_activation(tiny_detector(), tiny_head()))
    head = choose_head(graph, source)
    assert len(head.anchors) == len(tiny_head().anchors)
    assert len(head.labels) == 2


def test_a_label_file_replaces_the_labels_and_must_fit(source: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("fish\nturtle\n")
    head = choose_head(tiny_detector(), source, carried=tiny_head(), labels_file=tmp_path / "labels.txt")
    assert head.labels == ("fish", "turtle")
    (tmp_path / "labels.txt").write_text("fish\nturtle\nstar\n")
    with pytest.raises(DetectionHeadError, match="3 labels, the model 2 classes"):
        choose_head(tiny_detector(), source, carried=tiny_head(), labels_file=tmp_path / "labels.txt")


def test_a_head_of_another_model_is_refused(source: Path) -> None:
    with pytest.raises(DetectionHeadError):
        choose_head(tiny_detector(), source, carried=replace(tiny_head(), boxes="elsewhere"))


def test_one_model_under_two_sets_of_names_becomes_one_file() -> None:
    first, second = tiny_detector(), tiny_detector()
    second.tensor("boxes").name = "StatefulPartitionedCall:0"
    second.tensor("scores").name = "boxes"
    swapped = replace(tiny_head(), boxes="StatefulPartitionedCall:0", scores="boxes")
    graph, head = with_plain_names(second, swapped)
    assert (head.boxes, head.scores) == ("boxes", "scores")
    assert serialize(graph) == serialize(with_plain_names(first, tiny_head())[0])
    head.check_against(graph)
