"""The images of a training: those to train with, and others to check with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from coralsmith.errors import ImageDataError
from coralsmith.graph import Array
from coralsmith.tuning.objects import LabelledInputs, Objects

HELD_BACK: Final = 0.25
MOST_HELD_BACK: Final = 20
"""A quarter of few images, for six do not tell a better state from a lucky one; no more than this of many."""

LABELLED_HELD_BACK: Final = 0.1
"""Labels are noisier than outputs: of many labelled images this share, whatever the limit."""

FEWEST_HELD_BACK: Final = 2
FEWEST_IMAGES: Final = 4


@dataclass(frozen=True, eq=False)
class Data:
    """Images: float32 [N, H, W, C], normalised, on the device; and the objects of each, where there are labels."""

    training: Any
    training_objects: list[Objects]
    held_back: Any
    held_back_objects: list[Objects]


def split(images: list[Array], seed: int, device: str) -> Data:
    """Hold some of the images back.

    Raises:
        ImageDataError: There are too few.
    """
    if len(images) < FEWEST_IMAGES:
        raise ImageDataError(
            f"Tuning needs {FEWEST_IMAGES} images at least; there are {len(images)}.",
            hint="Give a folder of typical photos with --images; some hundred do well.",
        )
    order = np.random.default_rng(seed).permutation(len(images))
    count = _held_back(len(images))
    return _divided(np.concatenate(images), [Objects.none()] * len(images), order, count, device)


def split_labelled(labelled: LabelledInputs, seed: int, device: str) -> Data:
    """Hold some of the images back, all of which show an object: without one there is little to check.

    Raises:
        ImageDataError: Too few show one.
    """
    shows = np.array([not one.ignored.all() for one in labelled.objects])
    if shows.sum() < FEWEST_IMAGES:
        raise ImageDataError(
            f"Training with labels needs {FEWEST_IMAGES} images with objects at least; there are {shows.sum()}.",
            hint="Label more images, or tune without --dataset, which needs no labels.",
        )
    order = np.random.default_rng(seed).permutation(len(shows))
    order = order[np.argsort(~shows[order], kind="stable")]
    wanted = max(_held_back(len(shows)), round(LABELLED_HELD_BACK * len(shows)))
    count = min(wanted, int(shows.sum()) // 2)
    return _divided(labelled.images, labelled.objects, order, count, device)


def _held_back(images: int) -> int:
    return min(MOST_HELD_BACK, max(FEWEST_HELD_BACK, round(HELD_BACK * images)))


def _divided(images: Array, objects: list[Objects], order: Any, held_back: int, device: str) -> Data:
    everything = torch.from_numpy(images).to(device)
    first, rest = order[:held_back], order[held_back:]
    return Data(everything[rest], [objects[i] for i in rest], everything[first], [objects[i] for i in first])
