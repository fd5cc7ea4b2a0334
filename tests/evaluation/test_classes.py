"""Names of the data set and names of the model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from coralsmith.errors import DetectionHeadError
from coralsmith.evaluation.classes import match_classes
from coralsmith.evaluation.dataset import Dataset
from tests.evaluation.data_sets import annotated


def _dataset(labels: Sequence[str], used: Sequence[int], ids: tuple[int, ...] | None = None) -> Dataset:
    return Dataset([annotated([[0, 0, 1, 1]] * len(used), used)], tuple(labels), ids)


def test_classes_are_matched_by_name_in_any_order() -> None:
    assert match_classes(_dataset(["cat", "dog"], [0, 1]), ["dog", "cat"]).tolist() == [1, 0]


def test_case_underscores_and_hyphens_do_not_matter() -> None:
    dataset = _dataset(["Traffic Light", "stop-sign"], [0, 1])
    assert match_classes(dataset, ["stop_sign", "traffic  light"]).tolist() == [1, 0]


def test_a_class_that_only_the_model_knows_is_no_class_of_the_data_set() -> None:
    assert match_classes(_dataset(["cat"], [0]), ["dog", "cat"]).tolist() == [-1, 0]


def test_a_class_without_boxes_need_not_be_known() -> None:
    assert match_classes(_dataset(["cat", "dog"], [0]), ["cat"]).tolist() == [0]


def test_a_class_with_boxes_must_be_known() -> None:
    with pytest.raises(DetectionHeadError, match=r"boxes of 'dog', which the model does not know.*'cat', 'cow'"):
        match_classes(_dataset(["cat", "dog"], [0, 1]), ["cat", "cow"])


def test_two_classes_of_one_name_are_an_error_where_the_name_is_needed() -> None:
    with pytest.raises(DetectionHeadError, match="more than one class called 'cat'"):
        match_classes(_dataset(["cat"], [0]), ["cat", "Cat"])
    assert match_classes(_dataset(["cat"], [0]), ["cat", "???", "???"]).tolist() == [0, -1, -1]


def test_category_ids_decide_where_no_name_fits() -> None:
    dataset = _dataset(["cat", "dog"], [0, 1], ids=(17, 18))
    assert match_classes(dataset, ["1", "2", "3"], category_ids=[18, 90, 17]).tolist() == [1, -1, 0]


def test_category_ids_do_not_overrule_names() -> None:
    dataset = _dataset(["cat", "dog"], [0], ids=(17, 18))
    assert match_classes(dataset, ["cat", "x"], category_ids=[18, 17]).tolist() == [0, -1]


def test_a_long_list_of_unknown_classes_is_cut() -> None:
    with pytest.raises(DetectionHeadError, match="and 20 more"):
        match_classes(_dataset([f"class {i}" for i in range(30)], list(range(30))), ["cat"])


def test_numbers_with_gaps_are_pointed_out() -> None:
    dataset = _dataset(["cat", "dog"], [0, 1], (1, 90))
    with pytest.raises(DetectionHeadError) as error:
        match_classes(dataset, ["class 0", "class 1"])
    assert "from 1 to 90 with gaps" in error.value.hint
    with pytest.raises(DetectionHeadError) as error:
        match_classes(_dataset(["cat", "dog"], [0, 1], (1, 2)), ["class 0", "class 1"])
    assert "gaps" not in error.value.hint
