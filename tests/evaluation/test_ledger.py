"""Several forms of one model side by side."""

from __future__ import annotations

import pytest

from coralsmith.errors import ImageDataError
from coralsmith.evaluation.agreement import Classes
from coralsmith.evaluation.dataset import Dataset
from coralsmith.evaluation.ledger import Contender, Form, draw_up
from coralsmith.evaluation.looking import Seen
from tests.evaluation.data_sets import annotated, detections

A, B = [0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]
IMAGES = [annotated([A, B], [0, 1], name=f"{i}.png") for i in range(3)]
DATASET = Dataset(IMAGES, ("cat", "dog"))
BOTH = detections([A, B], [0, 1], [0.9, 0.8])
ONE = detections([A], [0], [0.9])
NONE = detections([], [], [])


def contender(form: Form, *found: object) -> Contender:
    return Contender(form, f"{form}.tflite", Seen(IMAGES, list(found)), Classes(("cat", "dog")))  # type: ignore[arg-type]


def test_each_form_is_measured_against_the_first() -> None:
    forms = [contender("float", BOTH, BOTH, BOTH), contender("int8", ONE, ONE, ONE)]
    first, second = (entry.row() for entry in draw_up(forms, DATASET, resamples=20))
    assert (first.form, first.name, first.ap, first.drop, first.agreement) == (
        "float",
        "float.tflite",
        pytest.approx(1),
        None,
        None,
    )
    assert (second.ap, second.drop, second.agreement) == pytest.approx((0.5, 0.5, 0.5))
    assert second.drop_interval == second.agreement_interval == pytest.approx((0.5, 0.5))


def test_without_labels_only_agreement_is_measured() -> None:
    forms = [contender("float", BOTH, ONE, BOTH), contender("int8", BOTH, ONE, BOTH)]
    first, second = (entry.row() for entry in draw_up(forms, None, resamples=20))
    assert (first.ap, second.ap, second.drop, second.agreement) == (None, None, None, pytest.approx(1))


def test_a_reference_that_shows_nothing_leaves_the_agreement_open_where_there_are_labels() -> None:
    forms = [contender("float", NONE, NONE, NONE), contender("int8", BOTH, BOTH, BOTH)]
    row = draw_up(forms, DATASET, resamples=20)[1].row()
    assert (row.drop, row.agreement) == (pytest.approx(-1), None)
    with pytest.raises(ImageDataError, match="nothing to agree on"):
        draw_up(forms, None, resamples=20)
