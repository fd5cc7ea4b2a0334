"""Which class of the model is which class of the data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import DetectionHeadError
from coralsmith.evaluation.dataset import Dataset

Key = TypeVar("Key", str, int)

NO_CLASS = -1


def match_classes(
    dataset: Dataset, labels: Sequence[str], category_ids: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """The data set's class of each class of a model.

    Names are compared without regard to case, and with `_`, `-` and blanks taken as the same. Where not a single
    name fits (a model without label file calls its classes by numbers) but both sides have category ids, these
    decide.

    Args:
        dataset: Every class of it that has boxes must be known to the model.
        labels: Labels of the model.
        category_ids: The model's category id of each label, where its head knows them.

    Returns:
        int64 [labels], an index into the data set's labels; `NO_CLASS` where the data set has no such class.

    Raises:
        DetectionHeadError: The model lacks a class that the data set has boxes of, or has it twice.
    """
    by_name = _positions([_plain(label) for label in labels])
    candidates = [by_name[_plain(label)] for label in dataset.labels]
    if not any(candidates) and category_ids is not None and dataset.category_ids is not None:
        by_id = _positions(category_ids)
        candidates = [by_id[category_id] for category_id in dataset.category_ids]
    _require_one_each(dataset, labels, candidates)
    classes = np.full(len(labels), NO_CLASS, np.int64)
    for class_id, positions in enumerate(candidates):
        classes[positions] = class_id
    return classes


def _plain(label: str) -> str:
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())


def _positions(keys: Sequence[Key]) -> defaultdict[Key, list[int]]:
    positions: defaultdict[Key, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        positions[key].append(position)
    return positions


def _require_one_each(dataset: Dataset, labels: Sequence[str], candidates: list[list[int]]) -> None:
    used = dataset.boxes_per_class() > 0
    missing = [
        name
        for name, found, is_used in zip(dataset.labels, candidates, used, strict=True)
        if is_used and not found
    ]
    if missing:
        raise DetectionHeadError(
            f"The data set has boxes of {_listed(missing)}, which the model does not know; its labels are "
            f"{_listed(labels)}.",
            hint="Give the model's labels as the data set spells them, with --head or --labels."
            f"{_numbers(dataset)}",
        )
    double = [name for name, found in zip(dataset.labels, candidates, strict=True) if len(found) > 1]
    if double:
        raise DetectionHeadError(
            f"The model has more than one class called {_listed(double)}.",
            hint="Correct the labels: which of them does the data set mean?",
        )


def _numbers(dataset: Dataset) -> str:
    """Where a data set numbers its classes with gaps, how a label file says which is which."""
    ids = dataset.category_ids
    if ids is None or max(ids) - min(ids) == len(ids) - 1:
        return ""
    return (
        f" The data set's numbers run from {min(ids)} to {max(ids)} with gaps; lines of number and label "
        "('0 person') count the model's classes from 0 and may leave some out."
    )


def _listed(names: Sequence[str], limit: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
