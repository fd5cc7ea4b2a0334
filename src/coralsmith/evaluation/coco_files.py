"""Where a COCO data set keeps its annotations and its images: the layouts that people have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coralsmith.evaluation.dataset import COCO_FILE

_INSTANCES: Final = re.compile(r"instances_([A-Za-z]+)(\d*)\.json")
_BESIDE_IMAGES: Final = "_annotations.coco.json"  # as Roboflow exports it
_SPLIT_NAMES: Final = {"valid": "val", "validation": "val", "training": "train"}


@dataclass(frozen=True)
class CocoFiles:
    """The files of one split.

    Attributes:
        annotations: The COCO json.
        images: Folders that an image is looked for in, in this order.
    """

    annotations: Path
    images: tuple[Path, ...]


def find_coco(folder: Path) -> dict[str, CocoFiles]:
    """The splits of a COCO data set by name; "" where it is not split; empty where the folder is none.

    Known are `annotations.json` with `images/`; `annotations/instances_<split><year>.json` with
    `images/<split><year>/`, `<split><year>/` or `images/`; and `<split>/_annotations.coco.json` beside its images.
    """
    if (folder / COCO_FILE).is_file():
        return {"": CocoFiles(folder / COCO_FILE, (folder / "images",))}
    found = {}
    for path in sorted((folder / "annotations").glob("instances_*.json")):
        if match := _INSTANCES.fullmatch(path.name):
            whole = match[1] + match[2]
            roots = (folder / "images" / whole, folder / whole, folder / "images")
            found[_SPLIT_NAMES.get(match[1], match[1])] = CocoFiles(path, roots)
    for path in sorted(folder.glob(f"*/{_BESIDE_IMAGES}")):
        name = path.parent.name
        found[_SPLIT_NAMES.get(name, name)] = CocoFiles(path, (path.parent,))
    return found
