"""Detections that were kept are those that were found, or they are not used."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coralsmith import evaluation_cache as cache
from coralsmith.evaluation.dataset import AnnotatedImage
from coralsmith.evaluation.looking import Seen
from coralsmith.findings import Finding
from tests.evaluation.data_sets import annotated, detections, write_image
from tests.tiny_detector import tiny_detector, tiny_head

A, B = [0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]
IMAGES = [annotated([A], [0], name=f"{i}.png") for i in range(4)]
PROBLEM = Finding("unusable-image", "warning", "'1.png' cannot be read.")
SEEN = Seen(
    [IMAGES[0], IMAGES[2], IMAGES[3]],
    [detections([A, B], [0, 1], [0.9, 0.8]), detections([], [], []), detections([B], [1], [0.7])],
    [PROBLEM],
)


def test_what_is_kept_comes_back_unusable_images_left_out(tmp_path: Path) -> None:
    cache.store_detections(tmp_path, "key", IMAGES, SEEN)
    found = cache.load_detections(tmp_path, "key", IMAGES)
    assert found is not None and found.findings == [PROBLEM]
    assert [image.path.name for image in found.images] == ["0.png", "2.png", "3.png"]
    for one, other in zip(found.detections, SEEN.detections, strict=True):
        for field in ("boxes", "class_ids", "scores"):
            kept, given = getattr(one, field), getattr(other, field)
            np.testing.assert_array_equal(kept, given)
            assert kept.dtype == given.dtype


def test_labels_may_be_corrected_without_looking_again(tmp_path: Path) -> None:
    cache.store_detections(tmp_path, "key", IMAGES, SEEN)
    corrected = [replace(image, class_ids=image.class_ids + 1) for image in IMAGES]
    found = cache.load_detections(tmp_path, "key", corrected)
    assert found is not None and found.images[0].class_ids.tolist() == [1]


@pytest.mark.parametrize("damage", ["gone", "cut", "other number of images", "no archive"])
def test_damaged_or_foreign_files_are_not_used(tmp_path: Path, damage: str) -> None:
    cache.store_detections(tmp_path, "key", IMAGES, SEEN)
    path = tmp_path / "key.npz"
    if damage == "gone":
        path.unlink()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    if damage == "no archive":
        path.write_bytes(b"text")
    images = IMAGES[:3] if damage == "other number of images" else IMAGES
    assert cache.load_detections(tmp_path, "key", images) is None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache.store_detections(tmp_path / "file", "key", IMAGES, SEEN)
    assert cache.load_detections(tmp_path / "file", "key", IMAGES) is None


def test_the_files_that_were_not_used_for_longest_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MOST_FILES", 2)
    for number, key in enumerate("abc"):
        cache.store_detections(tmp_path, key, IMAGES, SEEN)
        os.utime(tmp_path / f"{key}.npz", (number, number))
    cache.store_detections(tmp_path, "d", IMAGES, SEEN)
    assert sorted(path.stem for path in tmp_path.glob("*.npz")) == ["c", "d"]


def test_the_key_tells_models_heads_decoding_and_the_contents_of_images_apart(tmp_path: Path) -> None:
    def images() -> list[AnnotatedImage]:
        return [replace(annotated([A], [0]), path=tmp_path / "a.png")]

    write_image(tmp_path / "a.png")
    graph, head = tiny_detector(), tiny_head()
    key = cache.detections_key(graph, head, True, images())
    assert key == cache.detections_key(tiny_detector(), tiny_head(), True, images())
    other_head = replace(head, nms=replace(head.nms, iou=0.3))
    other_graph = tiny_detector()
    weights = next(tensor for tensor in other_graph.tensors() if tensor.is_constant and tensor.is_float)
    assert weights.data is not None
    weights.data = weights.data * 2
    others = {
        cache.detections_key(other_graph, head, True, images()),
        cache.detections_key(graph, other_head, True, images()),
        cache.detections_key(graph, head, False, images()),
    }
    write_image(tmp_path / "a.png", (70, 80))
    others.add(cache.detections_key(graph, head, True, images()))
    assert len(others) == 4 and key not in others
