"""Labelled images to train with: the right split, the right columns, the right places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.head import ScoreSpec
from coralsmith.errors import DetectionHeadError, ImageDataError, UsageError
from coralsmith.training_set import TrainingSet
from tests.evaluation.data_sets import VocObject, write_image, write_voc
from tests.tiny_detector import tiny_head

LEFT: VocObject = ("Left", (8, 6, 48, 36), 0)
RIGHT: VocObject = ("right", (1, 1, 40, 60), 0)
DIFFICULT: VocObject = ("right", (41, 1, 80, 60), 1)


def voc(folder: Path, split: str = "train") -> Path:
    images = {"a": [LEFT, DIFFICULT], "b": [RIGHT], "c": [], "d": [LEFT]}
    return write_voc(folder, images, {split: ["a", "b", "c"], "test": ["d"]})


def test_the_training_split_is_taken_and_difficult_objects_are_ignored(tmp_path: Path) -> None:
    labelled, findings = TrainingSet.find(voc(tmp_path)).read(tiny_head(), 10, 0)
    assert labelled.images.shape == (3, 32, 32, 3)
    assert labelled.columns == (0, 1)
    assert [one.columns.tolist() for one in labelled.objects] == [[0, 1], [1], []]
    assert labelled.objects[0].ignored.tolist() == [False, True]
    np.testing.assert_allclose(labelled.objects[0].boxes[0], [6 / 60, 8 / 80, 36 / 60, 48 / 80], atol=1e-6)
    (finding,) = findings
    assert (finding.rule, finding.measured) == ("trained-with-labels", "3 of 3 images, 2 objects")


def test_a_background_column_moves_the_classes_behind_it(tmp_path: Path) -> None:
    training = TrainingSet.find(voc(tmp_path))
    first, last = (
        training.read(replace(tiny_head(), score=ScoreSpec("softmax", column)), 10, 0)[0] for column in (0, 2)
    )
    assert (first.columns, last.columns) == ((1, 2), (0, 1))
    assert first.objects[0].columns.tolist() == [1, 2]


def test_boxes_lie_in_the_letterbox_where_the_image_does(tmp_path: Path) -> None:
    head = tiny_head()
    head = replace(head, input=replace(head.input, resize="letterbox"))
    labelled, _ = TrainingSet.find(voc(tmp_path)).read(head, 10, 0)
    # 80 x 60 pixels fill 32 x 24 of the input, with 4 rows above.
    np.testing.assert_allclose(
        labelled.objects[0].boxes[0], [(4 + 2.4) / 32, 3.2 / 32, (4 + 14.4) / 32, 19.2 / 32], atol=1e-6
    )


def test_classes_without_labels_are_told_and_nothing_is_asked_of_them(tmp_path: Path) -> None:
    head = replace(tiny_head(), labels=("left", "other", "right"))
    labelled, findings = TrainingSet.find(voc(tmp_path)).read(head, 10, 0)
    assert labelled.columns == (0, 2)
    finding = next(finding for finding in findings if finding.rule == "classes-without-labels")
    assert finding.measured == "1 of 3 classes, the first is 'other'"


def test_no_more_images_than_asked_for_are_taken(tmp_path: Path) -> None:
    labelled, findings = TrainingSet.find(voc(tmp_path)).read(tiny_head(), 2, 0)
    assert len(labelled.images) == len(labelled.objects) == 2
    assert "tuning_samples" in findings[0].fix


def test_without_a_training_split_it_is_an_error_and_the_evaluation_split_is_never_taken(tmp_path: Path) -> None:
    folder = voc(tmp_path, "trainval")
    with pytest.raises(UsageError, match="has no split 'train'") as caught:
        TrainingSet.find(folder)
    assert "test, trainval" in caught.value.hint
    assert "--split" in caught.value.hint
    assert TrainingSet.find(folder, "trainval").dataset.split == "trainval"


def test_an_evaluation_split_that_was_asked_for_is_told(tmp_path: Path) -> None:
    _, findings = TrainingSet.find(voc(tmp_path), "test").read(tiny_head(), 10, 0)
    assert "trained-on-evaluation-split" in {finding.rule for finding in findings}


def test_classes_that_the_model_does_not_know_are_named(tmp_path: Path) -> None:
    head = replace(tiny_head(), labels=("left", "other"))
    with pytest.raises(DetectionHeadError, match="boxes of 'right', which the model does not know"):
        TrainingSet.find(voc(tmp_path)).require_known(head)


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectionHeadError, match="needs a detection head, and the model has none"):
        TrainingSet.find(voc(tmp_path)).require_known(None)


def test_labels_without_a_box_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageDataError, match="has no object to be found"):
        TrainingSet.find(write_voc(tmp_path, {"a": [], "b": []}, {"train": ["a", "b"]}))


def test_where_no_image_can_be_read_it_is_named(tmp_path: Path) -> None:
    training = TrainingSet.find(voc(tmp_path))
    for image in training.dataset.images:
        image.path.write_bytes(b"no image")
    with pytest.raises(ImageDataError, match="Not one of the labelled images can be read"):
        training.read(tiny_head(), 10, 0)


def test_the_digest_tells_other_labels_and_other_pixels(tmp_path: Path) -> None:
    first = TrainingSet.find(voc(tmp_path / "first")).digest()
    assert TrainingSet.find(voc(tmp_path / "second")).digest() == first
    moved = {"a": [RIGHT, DIFFICULT], "b": [RIGHT], "c": []}
    assert TrainingSet.find(write_voc(tmp_path / "third", moved, {"train": ["a", "b", "c"]})).digest() != first
    other = TrainingSet.find(tmp_path / "second")
    write_image(other.dataset.images[0].path, (61, 80))
    assert other.digest() != first
