"""A trained detector: what equalisation and adaptive rounding win on images that they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.detection.images import ImageFolder
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor
from coralsmith.graph.reader import read_tflite
from coralsmith.quantization.channel_groups import channel_groups
from coralsmith.quantization.equalization import Balance, equalize
from coralsmith.quantization.options import DetectionOutputs, QuantizationOptions
from coralsmith.quantization.output_error import OutputMeter
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.repair.driver import repair

SEEN = 8


@pytest.fixture(scope="module")
def images(shared: Path) -> list[Array]:
    paths = sorted((shared / "data/bccd/JPEGImages").glob("*.jpg"))[: SEEN + 4]
    return [pixels[None].astype(np.float32) / 127.5 - 1 for pixels in ImageFolder(paths, (300, 300))]


@pytest.fixture(scope="module")
def model(shared: Path, images: list[Array]) -> Graph:
    graph = read_tflite(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite")
    return repair(graph, "exact", inputs=[images[:1]]).graph


@pytest.fixture(scope="module")
def meter(model: Graph, images: list[Array]) -> OutputMeter:
    boxes, scores = (tensor.name for tensor in model.outputs)
    return OutputMeter(model, images[SEEN:], DetectionOutputs(boxes, scores, "sigmoid"))


def decibels(meter: OutputMeter, graph: Graph, images: list[Array], **choices: Any) -> float:
    options = QuantizationOptions(input_type="float", **choices)
    return meter.decibels(quantize_graph(graph, images[:SEEN], options).graph)


@pytest.mark.slow
def test_channels_in_bad_units_collapse_and_come_back(
    model: Graph, images: list[Array], meter: OutputMeter
) -> None:
    groups = [group for group in channel_groups(model) if np.isinf(group.ceiling)]
    generator = np.random.default_rng(0)
    peaks: dict[Any, Array] = {}
    for group in groups:
        peaks.update(dict.fromkeys(group.tensors, 2.0 ** generator.integers(-6, 6, group.channels)))
    bad = equalize(model, groups, peaks, Balance(1, 0, 0))
    expected, found = Executor(model).run(images[0]), Executor(bad).run(images[0])
    for before, after in zip(expected, found, strict=True):
        assert np.abs(after - before).max() < 1e-4 * np.ptp(before)
    assert decibels(meter, bad, images) < 10
    as_trained = decibels(meter, model, images, equalization="exact")
    assert decibels(meter, bad, images, equalization="exact") == pytest.approx(as_trained, abs=1.0)


@pytest.mark.slow
def test_adaptive_rounding_wins_on_unseen_images_with_per_tensor_weights(
    model: Graph, images: list[Array], meter: OutputMeter
) -> None:
    nearest = decibels(meter, model, images, weights="per-tensor", equalization="clamped")
    adaptive = decibels(meter, model, images, weights="per-tensor", equalization="clamped", rounding="adaptive")
    assert adaptive > nearest + 1
