"""The replay tells every way in which a host could misread a model, and says so where it proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from coralsmith.deploy import frigate
from coralsmith.deploy.deployable import DeployableModel
from coralsmith.deploy.replay import Host, Replayed, replay
from coralsmith.detection.detections import Detections
from coralsmith.progress import SILENT
from tests.deploy.pixel_detector import compiled_stand_in, decoding_graph, deployable, noise, pixel_head

IMAGES = [noise(seed) for seed in range(3)]


def replayed(spoil: Callable[[Detections], Detections] = lambda found: found) -> Replayed:
    """The replay of a host that misreads what it is given."""
    model = deployable(decoding_graph())
    host = frigate.make(model, "usb").host

    def open_spoilt(content: bytes) -> Callable[[np.ndarray], Detections]:
        detect = host.open(content)
        return lambda pixels: spoil(detect(pixels))

    return replay(model, replace(host, open=open_spoilt), IMAGES, SILENT)


def test_a_host_that_reads_rightly_passes_and_the_numbers_are_told() -> None:
    result = replayed()
    assert result.check.verdict == "pass"
    assert (result.images, result.check.detail.count(" on 3 images")) == (3, 1)
    assert 0 < result.detections <= result.rows


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: Detections(d.boxes[:, [1, 0, 3, 2]], d.class_ids, d.scores), "has box"),
        (lambda d: Detections(d.boxes, d.class_ids + 1, d.scores), "has class"),
        (lambda d: Detections(d.boxes, d.class_ids, d.scores * np.float32(0.99)), "has score"),
        (lambda d: Detections(d.boxes[1:], d.class_ids[1:], d.scores[1:]), "detections instead of"),
        (lambda d: Detections(d.boxes[::-1], d.class_ids[::-1], d.scores[::-1]), "not sorted"),
        (lambda d: Detections(d.boxes * np.float32("nan"), d.class_ids, d.scores), "has box"),
    ],
    ids=["columns swapped", "labels off by one", "other scores", "one missing", "not sorted", "no numbers"],
)
def test_every_misreading_fails(spoil: Callable[[Detections], Detections], words: str) -> None:
    check = replayed(spoil).check
    assert check.verdict == "fail"
    assert any(word in check.detail for word in words.split("|")), check.detail


def test_anchors_of_another_model_fail() -> None:
    """What the file's own operator says is replaced by another head: the reference then decodes otherwise."""
    model = deployable(decoding_graph())
    other = replace(pixel_head(), anchors=pixel_head().anchors[::-1])
    assert model.runnable is not None
    wrong = deployable(decoding_graph(head=other), runnable=model.runnable)
    result = replay(wrong, Host("host", 0.4, 20, lambda _: frigate_reading(wrong)), IMAGES, SILENT)
    assert result.check.verdict == "fail"


def frigate_reading(model: DeployableModel) -> Callable[[np.ndarray], Detections]:
    return frigate.make(model, "usb").host.open(model.bundled())


def test_nothing_detected_proves_nothing() -> None:
    model = deployable(decoding_graph())
    black = [np.zeros_like(noise(0))] * 2
    check = replay(model, frigate.make(model, "usb").host, black, SILENT).check
    assert check.verdict == "unverified"
    assert "nothing was detected on 2 images" in check.detail and "--images" in check.detail


def test_rows_of_low_scores_show_the_reading_too() -> None:
    model = deployable(decoding_graph())
    grey = [np.full_like(noise(0), 170)]  # scores of a third: above the operator's limit, below Frigate's
    result = replay(model, frigate.make(model, "usb").host, grey, SILENT)
    assert (result.check.verdict, result.detections) == ("pass", 0)
    assert result.rows > 0 and "none of score 0.4" in result.check.detail


def test_a_compiled_model_alone_is_not_verified() -> None:
    model = deployable(compiled_stand_in(), is_compiled=True, runnable=None, not_run="it runs on its device only")
    result = replay(model, frigate.make(model, "usb").host, IMAGES, SILENT)
    assert (result.check.verdict, result.check.detail) == ("unverified", "it runs on its device only")


def test_the_regular_mode_of_the_operator_is_replayed_and_the_class_that_it_forgets_is_told() -> None:
    graph = decoding_graph()
    graph.ops[-1].custom_options = regular_options()
    model = deployable(graph)
    bundle = frigate.make(model, "usb")
    result = replay(model, bundle.host, IMAGES, SILENT)
    assert result.check.verdict == "pass", result.check.detail
    assert {number for image in IMAGES for number in model.reference()(image).class_ids} == {0, 1}
    assert "last-class-missing" in {finding.rule for finding in bundle.findings}
    assert "last-class-missing" not in {f.rule for f in frigate.make(deployable(decoding_graph()), "usb").findings}


def regular_options() -> bytes:
    """The operator's options with suppression in each class."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("max_detections", 40)
        builder.Int("max_classes_per_detection", 1)
        builder.Int("detections_per_class", 40)
        builder.Bool("use_regular_nms", True)
        builder.Float("nms_score_threshold", 0.3, 4)
        builder.Float("nms_iou_threshold", 0.6, 4)
        builder.Int("num_classes", 3)
        for name, scale in zip("yxhw", (10.0, 10.0, 5.0, 5.0), strict=True):
            builder.Float(f"{name}_scale", scale, 4)
    return bytes(builder.Finish())
