"""YOLO folders as people have them, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import ImageDataError, UsageError
from coralsmith.evaluation.dataset import load_dataset
from coralsmith.evaluation.yolo import read_yolo
from tests.evaluation.data_sets import write_image, write_yolo

TEST = "test: images/test\nnames: [cat, dog]\n"
BOX = "1 0.5 0.4 0.2 0.6\n"  # centre x, centre y, width, height


def test_a_box_is_class_centre_and_size_in_parts_of_the_image(tmp_path: Path) -> None:
    dataset = load_dataset(write_yolo(tmp_path, TEST, {"test/a": BOX}))
    (image,) = dataset.images
    np.testing.assert_allclose(image.boxes, [[0.1, 0.4, 0.7, 0.6]])
    assert image.class_ids.tolist() == [1] and not image.crowd.any()
    assert (dataset.labels, dataset.category_ids, dataset.findings) == (("cat", "dog"), None, [])
    assert image.path == tmp_path / "images/test/a.png" and image.size is None


def test_names_may_be_a_dictionary(tmp_path: Path) -> None:
    yaml = "test: images/test\nnames:\n  1: dog\n  0: cat\n"
    assert read_yolo(write_yolo(tmp_path, yaml, {"test/a": BOX})).labels == ("cat", "dog")


def test_a_polygon_counts_with_the_box_around_it(tmp_path: Path) -> None:
    polygon = "0 0.2 0.1 0.6 0.3 0.4 0.9\n"
    (image,) = read_yolo(write_yolo(tmp_path, TEST, {"test/a": polygon})).images
    np.testing.assert_allclose(image.boxes, [[0.1, 0.2, 0.9, 0.6]])


def test_key_points_are_not_read(tmp_path: Path) -> None:
    pose = f"{TEST}kpt_shape: [2, 3]\n"
    line = "1 0.5 0.4 0.2 0.6 0.9 0.9 2 0.1 0.1 2\n"
    (image,) = read_yolo(write_yolo(tmp_path, pose, {"test/a": line})).images
    np.testing.assert_allclose(image.boxes, [[0.1, 0.4, 0.7, 0.6]])


def test_an_image_without_label_file_and_one_with_an_empty_file_have_no_objects(tmp_path: Path) -> None:
    images = read_yolo(write_yolo(tmp_path, TEST, {"test/a": BOX, "test/b": None, "test/c": ""})).images
    assert [len(image.boxes) for image in images] == [1, 0, 0]


def test_without_a_folder_of_images_the_labels_lie_beside_them(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "val: photos\nnames: [cat, dog]\n", {"a": BOX}, images="photos")
    assert len(read_yolo(folder).images[0].boxes) == 1


def test_only_the_last_folder_called_images_is_exchanged(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "set"
    write_image(folder / "images" / "test" / "a.png")
    (folder / "labels" / "test").mkdir(parents=True)
    (folder / "labels" / "test" / "a.txt").write_text(BOX)
    (folder / "data.yaml").write_text(TEST)
    assert len(read_yolo(folder).images[0].boxes) == 1


@pytest.mark.parametrize("line", ["images/all/a.png", "./images/all/a.png"])
def test_a_split_may_be_a_text_file(tmp_path: Path, line: str) -> None:
    folder = write_yolo(tmp_path, "val: val.txt\nnames: [cat, dog]\n", {"all/a": BOX, "all/b": BOX})
    (folder / "val.txt").write_text(f"{line}\n\n")
    assert [image.path.name for image in read_yolo(folder).images] == ["a.png"]


def test_a_split_may_be_several_folders_and_holds_each_image_once(tmp_path: Path) -> None:
    yaml = "test: [images/x, images/y, images/x]\nnames: [cat, dog]\n"
    assert len(read_yolo(write_yolo(tmp_path, yaml, {"x/a": BOX, "y/b": BOX})).images) == 2


def test_a_listed_image_that_is_missing_is_told(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "val: val.txt\nnames: [cat, dog]\n", {"a": BOX})
    (folder / "val.txt").write_text("images/a.png\nimages/gone.png\n")
    dataset = read_yolo(folder)
    assert len(dataset.images) == 1 and [f.rule for f in dataset.findings] == ["missing-image"]


def test_a_root_that_is_elsewhere_is_where_the_data_set_once_was(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, f"path: /somewhere/else\n{TEST}", {"test/a": BOX})
    assert len(read_yolo(folder).images) == 1


def test_a_root_inside_is_used(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, f"path: inner\n{TEST}", {"test/a": BOX}, images="inner/images")
    assert len(read_yolo(folder).images[0].boxes) == 1


def test_paths_as_roboflow_writes_them(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "val: ../valid/images\nnames: [cat, dog]\n", {"a": BOX}, images="valid/images")
    assert len(read_yolo(folder).images[0].boxes) == 1


def test_test_is_preferred_and_train_never_taken_unasked(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, f"train: images/train\n{TEST}", {"test/a": BOX, "train/b": BOX})
    assert [image.path.name for image in read_yolo(folder).images] == ["a.png"]
    assert [image.path.name for image in read_yolo(folder, "train").images] == ["b.png"]
    (folder / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    with pytest.raises(UsageError, match="neither a test nor a val split"):
        read_yolo(folder)


def test_boxes_without_area_are_left_out_and_those_over_the_edge_cut(tmp_path: Path) -> None:
    text = "0 0.5 0.5 0 0.3\n0 0.9 0.5 0.4 0.4\n0 0.5 0.5 0.2 -0.1\n"
    dataset = read_yolo(write_yolo(tmp_path, TEST, {"test/a": text}))
    np.testing.assert_allclose(dataset.images[0].boxes, [[0.3, 0.7, 0.7, 1.0]])
    assert {f.rule: f.measured for f in dataset.findings} == {
        "degenerate-box": "2 (the first in a.png)",
        "box-outside-image": "1 (the first in a.png)",
    }


def test_the_rounding_of_written_digits_is_no_finding(tmp_path: Path) -> None:
    assert not read_yolo(write_yolo(tmp_path, TEST, {"test/a": "0 0.5 0.5 1.0001 1.0\n"})).findings


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("2 0.5 0.5 0.1 0.1", "has the class 2, but data.yaml names the classes 0 to 1", "written from 1"),
        ("-1 0.5 0.5 0.1 0.1", "has the class -1", ""),
        ("0.5 0.5 0.5 0.1 0.1", "has the class 0.5", ""),
        ("0 120 80 40 30", "has the coordinate 120", "not pixels"),
        ("0 nan 0.5 0.1 0.1", "has the coordinate nan", ""),
        ("0 0.5 0.5 0.1", "has 4 values", "five"),
        ("0 0.5 0.5 0.1 0.1 0.87", "has 6 values", "five"),
        ("cat 0.5 0.5 0.1 0.1", "something else than numbers", ""),
    ],
)
def test_a_line_that_makes_no_sense_is_an_error_that_names_it(
    tmp_path: Path, line: str, message: str, hint: str
) -> None:
    with pytest.raises(ImageDataError, match=message) as error:
        read_yolo(write_yolo(tmp_path, TEST, {"test/a": f"{BOX}{line}\n"}))
    assert "line 2 of" in error.value.message and hint in error.value.hint


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [cat, dog", "is not YAML"),
        ("test: images/test\n", "has no 'names'"),
        ("test: images/test\nnames: cat\n", "not a list of class names"),
        ("test: images/test\nnames: []\n", "not a list of class names"),
        ("test: images/test\nnames: {1: cat, 2: dog}\n", "do not run from 0 to 1"),
        ("test: images/test\nnames: [cat, cat]\n", "same class name twice"),
        (f"{TEST}nc: 3\n", "says nc: 3, but names 2 classes"),
        ("names: [cat, dog]\n", "names no images"),
        ("test: {}\nval: 3\nnames: [cat, dog]\n", "'val' .* is no path"),
        ("test: images/nowhere\nnames: [cat, dog]\n", "neither a folder of images nor a .txt file"),
        ("test: ../../etc\nnames: [cat, dog]\n", "leads out of the data set"),
        ("test: /etc\nnames: [cat, dog]\n", "leads out of the data set"),
    ],
)
def test_a_description_that_makes_no_sense_is_an_error(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(ImageDataError, match=message):
        read_yolo(write_yolo(tmp_path / "set", yaml, {"test/a": BOX}))


def test_a_list_cannot_lead_out_of_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_yolo(tmp_path / "set", "val: val.txt\nnames: [cat, dog]\n", {"a": BOX})
    (folder / "val.txt").write_text("../../secret.png\n")
    monkeypatch.chdir(folder)
    for spelled in (folder, Path()):
        with pytest.raises(ImageDataError, match="leads out"):
            read_yolo(spelled)


def test_images_without_any_label_file_are_an_error_that_tells_where_one_should_be(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, TEST, {"test/a": None, "test/b": None})
    with pytest.raises(ImageDataError, match="Not one of the 2 images") as error:
        read_yolo(folder)
    assert str(folder / "labels/test/a.txt") in error.value.hint


def test_a_split_whose_images_are_all_missing_has_no_object(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "val: val.txt\nnames: [cat, dog]\n", {"a": BOX})
    (folder / "val.txt").write_text("images/gone.png\n")
    with pytest.raises(ImageDataError, match="no object") as error:
        load_dataset(folder)
    assert "file is missing" in error.value.message and "Copy the files" in error.value.hint
