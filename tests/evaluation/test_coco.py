"""The rules of the COCO format, one test each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import ImageDataError, UsageError
from coralsmith.evaluation import coco
from coralsmith.evaluation.coco import read_coco
from coralsmith.evaluation.dataset import load_dataset
from tests.evaluation.data_sets import coco_document, write_coco, write_image


def _with_box(**fields: Any) -> dict[str, Any]:
    document = coco_document()
    document["annotations"].append({"id": 9, "image_id": 11, "category_id": 3, "bbox": [1, 1, 9, 9], **fields})
    return document


def _rules(document: dict[str, Any], folder: Path) -> list[str]:
    return [finding.rule for finding in read_coco(write_coco(folder, document)).findings]


def test_boxes_are_corners_normalised_to_the_image(tmp_path: Path) -> None:
    image = read_coco(write_coco(tmp_path)).images[0]
    np.testing.assert_allclose(image.boxes[0], [6 / 60, 8 / 80, 36 / 60, 48 / 80])
    assert image.size == (60, 80)


def test_classes_are_in_the_order_of_their_category_ids(tmp_path: Path) -> None:
    dataset = read_coco(write_coco(tmp_path))
    assert dataset.labels == ("dog", "cat") and dataset.category_ids == (3, 7)
    assert dataset.images[0].class_ids.tolist() == [1, 0]


def test_iscrowd_marks_a_crowd(tmp_path: Path) -> None:
    assert read_coco(write_coco(tmp_path)).images[0].crowd.tolist() == [False, True]


def test_an_image_without_objects_stays(tmp_path: Path) -> None:
    image = read_coco(write_coco(tmp_path)).images[1]
    assert image.boxes.shape == (0, 4) and image.class_ids.size == image.crowd.size == 0


def test_a_box_without_area_is_left_out_with_a_finding(tmp_path: Path) -> None:
    dataset = read_coco(write_coco(tmp_path, _with_box(bbox=[5, 5, 0, 9])))
    assert len(dataset.images[1].boxes) == 0
    (finding,) = dataset.findings
    assert finding.rule == "degenerate-box" and finding.measured == "1 (the first in b.png)"


def test_a_box_that_lies_outside_is_left_out(tmp_path: Path) -> None:
    assert _rules(_with_box(bbox=[90, 5, 9, 9]), tmp_path) == ["degenerate-box"]


def test_a_box_that_reaches_outside_is_cut_with_a_finding(tmp_path: Path) -> None:
    dataset = read_coco(write_coco(tmp_path, _with_box(bbox=[-20, 30, 40, 60])))
    np.testing.assert_allclose(dataset.images[1].boxes, [[0.5, 0, 1, 0.25]])
    assert [finding.rule for finding in dataset.findings] == ["box-outside-image"]


def test_one_pixel_over_the_edge_is_not_worth_a_finding(tmp_path: Path) -> None:
    assert _rules(_with_box(bbox=[41, 0, 40, 9]), tmp_path) == []


def test_a_box_of_an_unlisted_image_is_left_out_with_a_finding(tmp_path: Path) -> None:
    assert _rules(_with_box(image_id=99), tmp_path) == ["unlisted-image"]


def test_a_missing_image_file_is_left_out_with_a_finding(tmp_path: Path) -> None:
    document = coco_document()
    document["images"].append({"id": 12, "file_name": "gone.png", "height": 9, "width": 9})
    assert _rules(document, tmp_path) == ["missing-image"]


def test_a_box_of_an_unknown_category_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageDataError, match="category 44"):
        read_coco(write_coco(tmp_path, _with_box(category_id=44)))


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "x/../../a.png", "a\0.png"])
def test_a_file_name_that_leads_out_of_the_folder_is_an_error(tmp_path: Path, name: str) -> None:
    document = coco_document()
    document["images"][0]["file_name"] = name
    with pytest.raises(ImageDataError, match="leads out"):
        read_coco(write_coco(tmp_path, document))


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("images", [{"id": 1, "file_name": "a.png", "height": 0, "width": 8}], "images.0.height"),
        ("images", [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}] * 2, "same image id"),
        ("categories", [{"id": 3, "name": "dog"}, {"id": 3, "name": "cat"}], "same category id"),
        ("categories", [{"id": 3, "name": "dog"}, {"id": 4, "name": "dog"}], "same category name"),
        ("annotations", [{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3]}], "annotations.0.bbox"),
        ("annotations", None, "annotations"),
    ],
)
def test_a_document_that_is_not_coco_names_the_wrong_field(
    tmp_path: Path, field: str, value: Any, complaint: str
) -> None:
    with pytest.raises(ImageDataError, match=complaint):
        read_coco(write_coco(tmp_path, coco_document(**{field: value})))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"images": [], "annotations": NaN}']
)
def test_bytes_that_are_not_json_are_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "annotations.json").write_bytes(content)
    with pytest.raises(ImageDataError, match=r"annotations\.json"):
        read_coco(tmp_path)


def test_infinite_boxes_are_an_error(tmp_path: Path) -> None:
    text = json.dumps(_with_box()).replace("[1, 1, 9, 9]", "[1, 1, Infinity, 9]")
    write_coco(tmp_path)
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(ImageDataError, match="not COCO json"):
        read_coco(tmp_path)


def test_a_file_beyond_the_limit_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "MAX_FILE_BYTES", 100)
    with pytest.raises(ImageDataError, match="larger than"):
        read_coco(write_coco(tmp_path))


def test_a_coco_file_has_no_splits(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'val'"):
        read_coco(write_coco(tmp_path), "val")


def test_the_real_coco_subset(shared: Path) -> None:
    dataset = read_coco(shared / "data" / "coco_permissive_val")
    assert (len(dataset.images), len(dataset.labels)) == (25, 80)
    assert sum(len(image.boxes) for image in dataset.images) == 213
    assert sum(int(image.crowd.sum()) for image in dataset.images) == 2
    assert dataset.category_ids is not None and dataset.category_ids[-1] == 90


def test_the_folder_may_be_named_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coco(tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(read_coco(Path("../data")).images) == 2


BOX = {"image_id": 10, "category_id": 7, "bbox": [8, 6, 40, 30], "iscrowd": 0}


def instances(name: str) -> dict[str, Any]:
    """One image with a cat."""
    image = {"id": 10, "file_name": name, "height": 60, "width": 80}
    return {"images": [image], "annotations": [BOX], "categories": [{"id": 7, "name": "cat"}]}


@pytest.mark.parametrize("images", ["images/val2017", "val2017", "images"])
def test_the_layout_of_coco_itself(tmp_path: Path, images: str) -> None:
    for split in ("train2017", "val2017"):
        (tmp_path / "annotations").mkdir(exist_ok=True)
        path = tmp_path / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(instances(f"{split}.png")), "utf-8")
    write_image(tmp_path / images / "val2017.png")
    dataset = load_dataset(tmp_path)
    assert [image.path for image in dataset.images] == [tmp_path / images / "val2017.png"]
    assert dataset.labels == ("cat",)


def test_the_layout_of_roboflow(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_image(tmp_path / split / f"{split}.png")
        path = tmp_path / split / "_annotations.coco.json"
        path.write_text(json.dumps(instances(f"{split}.png")), "utf-8")
    assert [image.path.name for image in load_dataset(tmp_path).images] == ["valid.png"]
    assert [image.path.name for image in load_dataset(tmp_path, "train").images] == ["train.png"]


def test_images_that_the_json_does_not_list_are_told(tmp_path: Path) -> None:
    write_coco(tmp_path)
    write_image(tmp_path / "images" / "c.png")
    (finding,) = read_coco(tmp_path).findings
    assert (finding.rule, finding.measured) == (
        "unannotated-image",
        f"1 (the first in {tmp_path / 'images' / 'c.png'})",
    )
