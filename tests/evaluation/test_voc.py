"""The rules of the Pascal VOC format, one test each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import ImageDataError
from coralsmith.evaluation import voc
from coralsmith.evaluation.voc import read_voc
from tests.evaluation.data_sets import SIZE, voc_xml, write_voc

CAT = ("cat", (8.0, 6.0, 48.0, 36.0), 0)
ENTITIES = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 10}">' for i in range(10))
ENTITY_BOMB = f"<!DOCTYPE a [{ENTITIES}]><annotation><object><name>&e9;</name></object></annotation>"


def _with_xml(folder: Path, content: bytes) -> Path:
    write_voc(folder, {"a": [CAT]}, {})
    (folder / "Annotations" / "a.xml").write_bytes(content)
    return folder


def test_boxes_are_normalised_to_the_image(tmp_path: Path) -> None:
    (image,) = read_voc(write_voc(tmp_path, {"a": [CAT]}, {})).images
    np.testing.assert_allclose(image.boxes, [[6 / 60, 8 / 80, 36 / 60, 48 / 80]])
    assert image.size == SIZE and image.path.name == "a.png"


def test_classes_are_the_names_in_alphabetical_order(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [CAT, ("ant", (1, 1, 9, 9), 0)], "b": [("bee", (1, 1, 9, 9), 0)]}, {})
    dataset = read_voc(folder)
    assert dataset.labels == ("ant", "bee", "cat")
    assert [image.class_ids.tolist() for image in dataset.images] == [[2, 0], [1]]


def test_a_difficult_object_counts_as_crowd(tmp_path: Path) -> None:
    (image,) = read_voc(write_voc(tmp_path, {"a": [CAT, ("cat", (1, 1, 9, 9), 1)]}, {})).images
    assert image.crowd.tolist() == [False, True]


def test_a_box_without_area_is_left_out_with_a_finding(tmp_path: Path) -> None:
    dataset = read_voc(write_voc(tmp_path, {"a": [CAT, ("cat", (9, 9, 9, 20), 0)]}, {}))
    assert len(dataset.images[0].boxes) == 1
    assert [finding.rule for finding in dataset.findings] == ["degenerate-box"]


def test_only_the_images_of_the_split_are_read(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [CAT], "b": [CAT], "c": [CAT]}, {"test": ["c", "a"], "train": ["b"]})
    assert [image.path.stem for image in read_voc(folder).images] == ["c", "a"]
    assert [image.path.stem for image in read_voc(folder, "train").images] == ["b"]


def test_the_split_that_was_taken_is_told(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [CAT], "b": [CAT]}, {"val": ["a"], "train": ["b"]})
    assert (read_voc(folder).split, read_voc(folder, "train").split) == ("val", "train")


def test_without_split_files_every_annotation_is_read(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"b": [CAT], "a": []}, {})
    assert [image.path.stem for image in read_voc(folder).images] == ["a", "b"]


def test_a_second_column_of_a_split_file_is_not_part_of_the_name(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [CAT]}, {"test": ["a  -1", ""]})
    assert len(read_voc(folder).images) == 1


def test_a_missing_image_is_left_out_with_a_finding(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [CAT]}, {"test": ["a", "../a", "gone"]})
    dataset = read_voc(folder)
    assert len(dataset.images) == 1 and dataset.findings[0].rule == "missing-image"
    assert (dataset.findings[0].measured or "").startswith("2 ")


def test_a_missing_annotation_is_an_error(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"a": [CAT]}, {"test": ["a"]})
    (folder / "Annotations" / "a.xml").unlink()
    with pytest.raises(ImageDataError, match=r"a\.xml.*cannot be read"):
        read_voc(folder)


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_size_that_is_not_stated_is_taken_from_the_image(tmp_path: Path, size: tuple[int, int] | None) -> None:
    folder = _with_xml(tmp_path, voc_xml([CAT], size).encode())
    assert read_voc(folder).images[0].size == SIZE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_an_entity_bomb_is_refused_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    bomb = f'<?xml version="1.0" encoding="{encoding}"?>{ENTITY_BOMB}'.encode(encoding)
    with pytest.raises(ImageDataError, match="document type"):
        read_voc(_with_xml(tmp_path, bomb))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a Pascal VOC annotation"),
        (b"<annotation><object>", "not a Pascal VOC annotation"),
        (b"<annotation><object><bndbox/></object></annotation>", "no name"),
        (b"<annotation><object><name>a</name></object></annotation>", "no complete box"),
        (voc_xml([("a", (1, 2, float("nan"), 4), 0)]).encode(), "no complete box"),
        (voc_xml([CAT]).replace("8.0", "eight").encode(), "eight"),
        (b'<?xml version="1.0" encoding="no-such"?><annotation/>', "not a Pascal VOC annotation"),
    ],
)
def test_a_damaged_annotation_is_an_error_that_tells_why(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(ImageDataError, match=complaint):
        read_voc(_with_xml(tmp_path, content))


def test_a_file_beyond_the_limit_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voc, "MAX_XML_BYTES", 50)
    with pytest.raises(ImageDataError, match="larger than"):
        read_voc(write_voc(tmp_path, {"a": [CAT]}, {}))


def test_the_real_bccd_splits(shared: Path) -> None:
    folder = shared / "data" / "bccd"
    test, train = read_voc(folder), read_voc(folder, "train")
    assert test.labels == ("Platelets", "RBC", "WBC")
    assert (len(test.images), len(train.images)) == (72, 205)
    assert test.boxes_per_class().tolist() == [69, 805, 71]
