"""Which format a folder has, and which split is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import ImageDataError, UsageError
from coralsmith.evaluation.dataset import Dataset, choose_split, load_dataset
from tests.evaluation.data_sets import annotated, write_coco, write_voc


def test_a_folder_with_annotations_json_is_coco(tmp_path: Path) -> None:
    assert load_dataset(write_coco(tmp_path)).category_ids == (3, 7)


def test_a_folder_with_annotations_and_jpegimages_is_voc(tmp_path: Path) -> None:
    dataset = load_dataset(write_voc(tmp_path, {"a": [("cat", (1, 2, 30, 40), 0)]}, {}))
    assert dataset.labels == ("cat",) and dataset.category_ids is None


def test_another_folder_is_an_error_that_tells_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(ImageDataError, match="no data set") as error:
        load_dataset(tmp_path)
    assert "annotations.json" in error.value.hint and "JPEGImages" in error.value.hint


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageDataError, match="not a folder"):
        load_dataset(tmp_path / "nowhere")


def test_a_data_set_without_objects_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageDataError, match="no object"):
        load_dataset(write_voc(tmp_path, {"a": [], "b": [("cat", (1, 2, 30, 40), 1)]}, {}))


@pytest.mark.parametrize(
    ("available", "wanted", "chosen"),
    [
        (["train", "val", "test"], None, "test"),
        (["train", "val"], None, "val"),
        (["train", "val", "test"], "train", "train"),
        ([], None, None),
    ],
)
def test_split_is_test_else_val_else_everything(
    available: list[str], wanted: str | None, chosen: str | None
) -> None:
    assert choose_split(available, wanted) == chosen


def test_a_training_split_is_never_taken_unasked() -> None:
    with pytest.raises(UsageError, match="neither a test nor a val split, but train, trainval"):
        choose_split(["trainval", "train"], None)


def test_an_unknown_split_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no split 'tset'") as error:
        choose_split(["val", "test"], "tset")
    assert "test, val" in error.value.hint


def test_crowds_are_not_counted_as_objects() -> None:
    box = [0, 0, 1, 1]
    images = [annotated([box, box, box], [0, 2, 2], [False, False, True]), annotated([], [])]
    np.testing.assert_array_equal(Dataset(images, ("a", "b", "c")).boxes_per_class(), [1, 0, 1])
