"""pycoral's bundle: the orders of outputs that it knows, its label files, the program run against a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coralsmith.deploy import pycoral
from coralsmith.deploy.deployable import DeployableModel
from coralsmith.detection.detections import Detections
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.graph.writer import serialize
from tests.deploy.pixel_detector import SIDE, decoding_graph, deployable, noise, pixel_graph, pixel_head
from tests.deploy.test_frigate import one_line

STAND_IN = Path(__file__).with_name("pycoral_stand_in")
PLAIN, TF2 = (0, 1, 2, 3), (2, 0, 3, 1)


def ordered(order: tuple[int, ...]) -> Graph:
    """The detector with its outputs (boxes, classes, scores, count) in another order."""
    graph = decoding_graph()
    graph.outputs = [graph.outputs[position] for position in order]
    return graph


def signed(graph: Graph, names: dict[str, int]) -> bytes:
    """A model with a signature: names of outputs by their position."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(serialize(graph), 0))
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0

    def mapped(name: str, tensor: int) -> schema.TensorMapT:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry

    subgraph = model.subgraphs[0]
    signature.inputs = [mapped("image", int(subgraph.inputs[0]))]
    signature.outputs = [mapped(name, int(subgraph.outputs[position])) for name, position in names.items()]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read(content: bytes) -> Detections:
    interpreter = load_interpreter(content)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], noise(0)[None])
    interpreter.invoke()
    return pycoral.read_outputs(interpreter)


class TestOrders:
    """`get_objects` tells three orders apart; a bundle holds the second, which older versions read too."""

    def test_without_signature_a_fourth_output_of_one_element_is_the_count(self) -> None:
        found = read(serialize(ordered(PLAIN)))
        assert len(found) and (np.diff(found.scores) <= 0).all()

    def test_any_other_order_without_signature_is_that_of_tf2_exports(self) -> None:
        np.testing.assert_array_equal(read(serialize(ordered(TF2))).boxes, read(serialize(ordered(PLAIN))).boxes)

    def test_with_a_signature_names_count_whatever_the_order(self) -> None:
        names = {"output_0": 3, "output_1": 2, "output_2": 1, "output_3": 0}
        np.testing.assert_array_equal(
            read(signed(ordered(PLAIN), names)).boxes, read(serialize(ordered(PLAIN))).boxes
        )

    def test_other_names_are_an_error_there(self) -> None:
        with pytest.raises(KeyError):
            read(signed(ordered(PLAIN), {"detection_boxes": 0, "b": 1, "c": 2, "d": 3}))

    @pytest.mark.parametrize("order", [PLAIN, TF2])
    def test_a_bundle_has_the_plain_order_and_no_signature(self, order: tuple[int, ...]) -> None:
        bundle = pycoral.make(deployable(ordered(order)))
        assert bundle.checks[1].detail == "boxes, classes, scores, count; no signature"
        np.testing.assert_array_equal(
            read(bundle.files["pixels_int8.tflite"]).boxes, read(serialize(ordered(PLAIN))).boxes
        )


class TestLabels:
    def test_a_plain_line_that_begins_with_a_number_is_taken_for_a_numbered_one(self) -> None:
        assert pycoral.read_label_file("10 euro\n20 euro\n") == {10: "euro", 20: "euro"}

    @settings(max_examples=30)
    @given(st.lists(one_line.filter(lambda label: label[0] != ":"), min_size=1, max_size=8))
    def test_the_file_of_a_bundle_is_read_rightly(self, labels: list[str]) -> None:
        names = pycoral.read_label_file(pycoral.write_label_file(labels))
        assert [names[number] for number in range(len(labels))] == labels

    def test_a_label_that_pycoral_would_shorten_fails_the_check(self) -> None:
        model = deployable(decoding_graph(), pixel_head(labels=(":-)", "b", "c")))
        assert pycoral.make(model).checks[0].verdict == "fail"


class TestProgram:
    """detect.py as users get it, with a stand-in for pycoral's functions."""

    def run(self, model: DeployableModel, folder: Path, *seeds: int) -> str:
        for name, content in pycoral.make(model).files.items():
            (folder / name).write_bytes(content)
        pictures = []
        for seed in seeds:
            pixels = np.zeros((SIDE, SIDE, 3), np.uint8) if seed < 0 else noise(seed)
            pictures.append(folder / f"{len(pictures)}.png")
            Image.fromarray(pixels).save(pictures[-1])
        ran = subprocess.run(
            [sys.executable, "detect.py", *map(str, pictures)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(STAND_IN), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", [np.uint8, np.int8])
    def test_it_prints_what_coralsmith_detects(self, tmp_path: Path, dtype: type) -> None:
        model = deployable(decoding_graph(dtype))
        own = model.reference()(noise(1)).at_least(0.4)
        lines = self.run(model, tmp_path, 1).splitlines()[1:]
        labels = [model.head.labels[number] for number in own.class_ids]
        assert [line.split()[0] for line in lines] == labels
        assert [float(line.split()[1]) for line in lines] == [round(float(score), 2) for score in own.scores]

    @pytest.mark.slow
    def test_rows_left_over_from_an_earlier_image_are_not_told_again(self, tmp_path: Path) -> None:
        output = self.run(deployable(decoding_graph()), tmp_path, 1, -1)
        assert output.splitlines()[-1].endswith("1.png"), "the black image has no detections"

    @pytest.mark.slow
    def test_a_letterboxed_model_is_fed_with_pycorals_own_letterbox(self, tmp_path: Path) -> None:
        model = deployable(decoding_graph(), pixel_head(resize="letterbox"))
        assert b"set_resized_input" in pycoral.make(model).files["detect.py"]
        assert "left" in self.run(model, tmp_path, 1)

    def test_it_is_short(self) -> None:
        text = pycoral.make(deployable(decoding_graph())).files["detect.py"].decode()
        assert len([line for line in text.splitlines() if line.strip() and "import" not in line]) <= 22


def test_raw_heads_are_refused_with_the_fix() -> None:
    with pytest.raises(UnsupportedModelError, match="raw boxes and scores") as refusal:
        pycoral.make(deployable(pixel_graph()))
    assert "--postprocess op" in refusal.value.hint


def test_an_int8_model_with_letterbox_is_refused_with_the_fix() -> None:
    with pytest.raises(UnsupportedModelError, match="letterboxes into uint8") as refusal:
        pycoral.make(deployable(decoding_graph(np.int8), pixel_head(resize="letterbox")))
    assert "--io uint8" in refusal.value.hint
