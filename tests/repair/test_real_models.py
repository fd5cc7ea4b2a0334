"""Trained detectors come out with operators that map, and with the outputs that they had."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coralsmith.graph import Array, Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import serialize
from coralsmith.importers import import_model
from coralsmith.repair import RepairResult, repair
from coralsmith.repair.samples import EXACT_TOLERANCE
from tests.repair.helpers import kinds

pytestmark = pytest.mark.slow

MAPPED = {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "SUB", "RELU", "RESHAPE", "CONCATENATION", "PRELU", "PAD"}

TO_DYNAMIC_TFLITE = """
import keras, sys, tensorflow as tf
model = keras.models.load_model(sys.argv[1], compile=False)
model.export(sys.argv[2] + "/saved", verbose=False)
content = tf.lite.TFLiteConverter.from_saved_model(sys.argv[2] + "/saved").convert()
open(sys.argv[2] + "/dynamic.tflite", "wb").write(content)
"""


def blood_cells(shared: Path, count: int = 2) -> list[list[Array]]:
    """Test images as the BCCD detector sees them."""
    folder = shared / "data/bccd"
    names = (folder / "ImageSets/Main/test.txt").read_text().split()[:count]
    pictures = [
        Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB").resize((300, 300)) for name in names
    ]
    return [[np.asarray(picture, np.float32)[None] / np.float32(127.5) - np.float32(1)] for picture in pictures]


def assert_proved(result: RepairResult) -> None:
    assert result.difference is not None and result.difference.worst <= EXACT_TOLERANCE
    assert all(change.exact and change.worst_difference is not None for change in result.changes)
    assert not [finding for finding in result.findings if finding.rule.startswith("repair-not")]
    serialize(result.graph)  # every operator has a version that the compiler reads


def bccd(shared: Path) -> Graph:
    return read_tflite(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite")


@pytest.mark.parametrize(("min_runtime", "leaky"), [(14, {"PRELU": 1}), (12, {"RELU": 1, "SUB": 1})])
def test_hard_swish_and_leaky_relu_of_a_trained_detector_are_replaced(
    shared: Path, min_runtime: int, leaky: dict[str, int]
) -> None:
    result = repair(bccd(shared), inputs=blood_cells(shared), min_runtime=min_runtime)
    assert_proved(result)
    count = Counter(kinds(result.graph))
    assert set(count) <= MAPPED
    assert count["ADD"] == 10 + 12 and count["MUL"] == 12 + (min_runtime < 13)  # no MUL by 1/6 is left
    assert {kind: count[kind] for kind in leaky} == leaky


def test_everything_but_symmetric_padding_of_ultralight_face_is_repaired(shared: Path) -> None:
    path = shared / "models/ultralight_face/version-RFB-320_without_postprocessing.tflite"
    result = repair(read_tflite(path))
    assert_proved(result)
    count = Counter(kinds(result.graph))
    assert set(count) <= MAPPED | {"SOFTMAX"}
    assert count["PAD"] == 6 and "MUL" not in count and count["ADD"] == 1
    assert {refusal.op.kind for refusal in result.refused} == {"PAD"}
    assert [conv.attributes["dilation_h_factor"] for conv in result.graph.ops if conv.kind == "CONV_2D"].count(
        5
    ) == 1
    assert all(tensor.shape_signature is None for tensor in result.graph.tensors())


def test_swapping_the_activations_of_a_trained_detector_is_measured(shared: Path) -> None:
    result = repair(bccd(shared), "approx", inputs=blood_cells(shared))
    swaps = [change for change in result.changes if change.pass_name == "swap-activation"]
    assert len(swaps) == 13 and all(swap.sqnr is not None and swap.sqnr < 40 for swap in swaps)
    assert set(kinds(result.graph)) <= MAPPED - {"MUL", "PRELU"}


def test_a_quantized_detector_needs_no_repair(shared: Path) -> None:
    model = read_tflite(shared / "models/ssd_mobilenet_v1_coco_quant/model.tflite")
    result = repair(model)
    assert kinds(result.graph) == kinds(model)
    assert result.difference is not None and result.difference.worst == 0.0


@pytest.mark.slow
def test_a_dynamic_batch_export_ends_like_the_static_one(shared: Path, tmp_path: Path) -> None:
    source = shared / "models/bccd_ssdlite/bccd_ssdlite.keras"
    subprocess.run(
        [sys.executable, "-c", TO_DYNAMIC_TFLITE, str(source), str(tmp_path)], check=True, capture_output=True
    )
    dynamic = read_tflite(tmp_path / "dynamic.tflite")
    assert {"SHAPE", "STRIDED_SLICE", "PACK"} <= set(kinds(dynamic))
    result = repair(dynamic, inputs=blood_cells(shared))
    assert_proved(result)
    static = repair(bccd(shared), inputs=blood_cells(shared))
    assert Counter(kinds(result.graph)) == Counter(kinds(static.graph))


@pytest.mark.slow
def test_the_two_input_add_n_of_a_frozen_graph_become_add(shared: Path) -> None:
    imported = import_model(shared / "models/coco_ssdlite_mobilenet_v2/coco_ssdlite_frozen.pb")
    before = Counter(kinds(imported.graph))
    result = repair(imported.graph)
    assert_proved(result)
    after = Counter(kinds(result.graph))
    assert before["ADD_N"] == 10 and "ADD_N" not in after
    # TensorFlow moved the ten biases of the layers before the residual sums behind them; they go back.
    assert after["ADD"] == before["ADD"] + 10 - 10
    assert set(after) <= MAPPED
