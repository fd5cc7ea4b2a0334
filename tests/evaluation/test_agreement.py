"""One model's detections as the truth for another's, on scenes whose result is known."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.errors import DetectionHeadError, ImageDataError, UsageError
from coralsmith.evaluation.agreement import Classes, as_objects, measure_agreement
from coralsmith.evaluation.looking import Seen
from tests.evaluation.data_sets import annotated, detections

A, B = [0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]
CLASSES = Classes(("cat", "dog"))
FOUND = detections([A, B], [0, 1], [0.9, 0.8])


def seen(*found: object) -> Seen:
    return Seen([annotated([], [], name=f"{i}.png") for i in range(len(found))], list(found))  # type: ignore[arg-type]


def test_a_model_agrees_with_itself() -> None:
    result = measure_agreement(seen(FOUND), seen(FOUND), CLASSES)
    assert (result.ap, result.ap50, result.ap75) == pytest.approx((1, 1, 1))
    assert (result.images, result.objects, result.ap_interval) == (1, 2, pytest.approx((1, 1)))


def test_labels_of_the_images_do_not_matter() -> None:
    labelled = Seen([annotated([B], [0], name="0.png")], [FOUND])
    assert measure_agreement(labelled, labelled, CLASSES).ap == pytest.approx(1)


def test_a_lost_detection_of_one_of_two_classes_costs_half() -> None:
    assert measure_agreement(seen(detections([A], [0], [0.9])), seen(FOUND), CLASSES).ap == pytest.approx(0.5)


def test_a_shifted_box_agrees_only_up_to_its_overlap() -> None:
    narrower = [0.1, 0.1, 0.3, 0.1 + 0.2 * 0.72]  # 72 % of A: hits at 0.50, 0.55, ... 0.70
    result = measure_agreement(seen(detections([narrower, B], [0, 1], [0.9, 0.8])), seen(FOUND), CLASSES)
    assert (result.ap, result.ap50) == pytest.approx((0.75, 1))


def test_what_the_reference_scores_below_the_threshold_is_no_object() -> None:
    reference = detections([A, B], [0, 1], [0.9, 0.29])
    result = measure_agreement(seen(detections([A], [0], [0.9])), seen(reference), CLASSES)
    assert (result.objects, result.ap) == (1, pytest.approx(1))


def test_a_detection_of_the_model_below_the_threshold_finds_its_object_all_the_same() -> None:
    weak = detections([A, B], [0, 1], [0.25, 0.1])
    assert measure_agreement(seen(weak), seen(FOUND), CLASSES).ap == pytest.approx(1)


def test_objects_are_cut_at_the_image_and_those_outside_are_none() -> None:
    outside = detections([[-0.5, 0.1, 0.5, 0.6], [1.1, 1.1, 1.3, 1.4]], [0, 1], [0.9, 0.8])
    (image,) = as_objects(seen(outside), CLASSES).images
    np.testing.assert_allclose(image.boxes, [[0, 0.1, 0.5, 0.6]])
    assert image.class_ids.tolist() == [0] and not image.crowd.any()


def test_classes_in_another_order_are_matched_by_name() -> None:
    swapped = detections([A, B], [1, 0], [0.9, 0.8])
    result = measure_agreement(seen(swapped), seen(FOUND), Classes(("dog", "cat")), CLASSES)
    assert result.ap == pytest.approx(1)


def test_a_class_that_the_model_lacks_is_an_error() -> None:
    with pytest.raises(DetectionHeadError, match="'dog'"):
        measure_agreement(seen(detections([A], [0], [0.9])), seen(FOUND), Classes(("cat",)), CLASSES)


def test_a_reference_that_finds_nothing_is_an_error() -> None:
    with pytest.raises(ImageDataError, match="nothing to agree on"):
        measure_agreement(seen(FOUND), seen(detections([A], [0], [0.2])), CLASSES)


def test_other_images_cannot_be_agreed_on() -> None:
    with pytest.raises(UsageError, match="same images"):
        measure_agreement(seen(FOUND), seen(FOUND, FOUND), CLASSES)
