"""What the contenders get: a float model, its head, images to calibrate with, labelled images to measure on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.quantize.process import python_module, run
from benchmarks.quantize.sources import INPUT, Sources
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.images import ImageFolder
from coralsmith.evaluation.dataset import Dataset, load_dataset
from coralsmith.graph import Array, Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.importers import import_model
from coralsmith.quantization.channel_groups import channel_groups
from coralsmith.quantization.equalization import Balance, equalize
from coralsmith.repair.driver import repair

BCCD_IMAGES = 200


@dataclass(frozen=True)
class Case:
    """One trained detector in float.

    Attributes:
        title: What it is, and what it is calibrated with.
        graph: Its float graph, repaired exactly, up to its raw heads.
        head: Its detection head.
        calibration: Folder of calibration images.
        dataset: Labelled images that nobody calibrates with.
        float_file: Makes what ai-edge-quantizer gets: a SavedModel, or a float `.tflite` with a signature.
        tensorflow: Makes TFLiteConverter's int8 file.
        weights: Scales of the weights.
    """

    title: str
    graph: Graph
    head: DetectionHead
    calibration: Path
    dataset: Dataset
    float_file: Callable[[], Path]
    tensorflow: Callable[[], Path]
    weights: Literal["per-channel", "per-tensor"] = "per-channel"

    def inputs(self) -> list[Array]:
        """The calibration images as the float model takes them."""
        return [INPUT.normalise(pixels[None]) for pixels in ImageFolder(self.calibration, INPUT.size)]


def cases(sources: Sources) -> dict[str, Callable[[], Case]]:
    """How each case is made."""
    return {
        "coco": lambda: coco(sources),
        "bccd": lambda: bccd(sources),
        "bccd-per-tensor": lambda: replace(bccd(sources), weights="per-tensor"),
        "coco-bad-units": lambda: in_bad_units(coco(sources)),
        "bccd-bad-units": lambda: in_bad_units(replace(bccd(sources), weights="per-tensor")),
    }


def coco(sources: Sources) -> Case:
    """COCO SSDLite MobileNetV2 300."""

    def float_file() -> Path:
        return sources.coco_saved_model(two_input_adds=True)

    def tensorflow() -> Path:
        target = sources.work / "coco_tensorflow_addv2.tflite"
        if not target.is_file():
            run(python_module("tensorflow_converter", float_file(), target, sources.coco_train))
        return target

    imported = import_model(sources.shared / "models" / "coco_ssdlite_mobilenet_v2" / "coco_ssdlite_frozen.pb")
    assert imported.head is not None, "the frozen graph carries its head"
    dataset = load_dataset(sources.coco_val.parent)
    title = "COCO SSDLite MobileNetV2 300, calibrated on the 59 images of coco_permissive_train"
    graph = _repaired(imported.graph, {imported.head.boxes, imported.head.scores})
    return Case(title, graph, imported.head, sources.coco_train, dataset, float_file, tensorflow)


def bccd(sources: Sources) -> Case:
    """BCCD SSDLite 300 with hard-swish and leaky ReLU, every operator replaced by one that maps."""
    names = (sources.bccd / "ImageSets" / "Main" / "train.txt").read_text("utf-8").split()
    images = sources.links(sources.work / f"bccd_train_{BCCD_IMAGES}", names[:BCCD_IMAGES])

    def tensorflow() -> Path:
        target = sources.work / f"bccd_tensorflow_{BCCD_IMAGES}.tflite"
        if not target.is_file():
            run(python_module("tensorflow_converter", sources.bccd_model / "bccd_ssdlite.keras", target, images))
        return target

    graph = _repaired(read_tflite(sources.bccd_float), None)
    head = sources.bccd_head(graph)
    title = f"BCCD SSDLite 300 (hard-swish, leaky ReLU), calibrated on {BCCD_IMAGES} training images"
    dataset = load_dataset(sources.bccd, "test")
    return Case(title, graph, head, images, dataset, lambda: sources.bccd_float, tensorflow)


def in_bad_units(case: Case, largest: int = 6) -> Case:
    """The same detector, equal in float, with channels between its layers multiplied by random powers of two."""
    groups = [group for group in channel_groups(case.graph) if np.isinf(group.ceiling)]
    generator = np.random.default_rng(0)
    peaks: dict[object, Array] = {}
    for group in groups:
        peaks.update(dict.fromkeys(group.tensors, 2.0 ** generator.integers(-largest, largest, group.channels)))
    graph = equalize(case.graph, groups, peaks, Balance(1, 0, 0))  # type: ignore[arg-type]
    title = f"{case.title}; channels rescaled by 2^-{largest} to 2^{largest - 1}"
    return replace(case, title=title, graph=graph)


def _repaired(graph: Graph, used: set[str] | None) -> Graph:
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 300, 300, 3)).astype(np.float32)
    return repair(graph, "exact", inputs=[[noise]], used_outputs=used).graph
