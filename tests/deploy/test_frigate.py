"""Frigate's bundle: what it reads of model, labels and configuration, by its own rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.deploy import frigate
from coralsmith.deploy.deployable import DeployableModel
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import InputSpec
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.interpreter import load_interpreter
from tests.deploy.pixel_detector import (
    LABELS,
    SIDE,
    compiled_stand_in,
    decoding_graph,
    deployable,
    noise,
    pixel_graph,
    pixel_head,
)

one_line = st.text("ab 019:#/-'\"é☃", min_size=1).map(lambda text: " ".join(text.split()) or "label")


def rules(model: DeployableModel) -> list[str]:
    return [finding.rule for finding in frigate.make(model, "usb").findings]


class TestLabelMap:
    """The traps of `load_labels`."""

    def test_ids_that_a_file_leaves_out_are_unknown_up_to_91(self) -> None:
        names = frigate.read_label_map("0 person\n3 car\n")
        assert (names[0], names[1], names[3], len(names)) == ("person", "unknown", "car", 91)

    def test_a_plain_file_whose_first_label_starts_with_a_number_is_taken_for_a_numbered_one(self) -> None:
        assert frigate.read_label_map("4 wheeler\n2 wheeler\n")[4] == "wheeler"

    def test_a_blank_line_in_a_numbered_file_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"invalid literal|not enough values"):
            frigate.read_label_map("0 person\n\n1 car\n")

    def test_a_byte_order_mark_hides_the_first_number(self) -> None:
        assert frigate.read_label_map("\ufeff0 person\n1 car\n")[1] == "1 car"

    def test_an_empty_file_names_nothing(self) -> None:
        assert frigate.read_label_map("") == {}

    @settings(max_examples=30)
    @given(st.lists(one_line, min_size=1, max_size=8))
    def test_whatever_the_labels_are_the_file_of_a_bundle_is_read_rightly(self, labels: list[str]) -> None:
        names = frigate.read_label_map(frigate.write_label_map(labels))
        assert [names[number] for number in range(len(labels))] == labels


class TestOutputs:
    """By position, whatever they are called."""

    def detections(self, graph: Any, image: np.ndarray) -> Detections:
        model = deployable(graph)
        return frigate.make(model, "usb").host.open(model.bundled())(image)

    def test_rows_end_at_the_count(self) -> None:
        assert 0 < len(self.detections(decoding_graph(), noise(0))) <= 10

    def test_an_int8_model_sees_the_same_image(self) -> None:
        first, second = (self.detections(decoding_graph(dtype), noise(0)) for dtype in (np.uint8, np.int8))
        np.testing.assert_array_equal(first.boxes, second.boxes)
        np.testing.assert_array_equal(first.class_ids, second.class_ids)

    def test_outputs_in_another_order_would_be_misread_as_they_stand(self) -> None:
        graph = decoding_graph()
        boxes, classes, scores, count = graph.outputs
        graph.outputs = [scores, boxes, count, classes]
        interpreter = load_interpreter(deployable(graph).content)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], noise(0)[None])
        interpreter.invoke()
        with pytest.raises((TypeError, ValueError, IndexError)):
            frigate.read_outputs(interpreter)

    def test_so_they_are_reordered_and_that_is_told(self) -> None:
        graph = decoding_graph()
        boxes, classes, scores, count = graph.outputs
        plain = self.detections(graph, noise(0))
        graph.outputs = [scores, boxes, count, classes]
        np.testing.assert_array_equal(self.detections(graph, noise(0)).boxes, plain.boxes)
        assert "outputs-reordered" in rules(deployable(graph))

    def test_it_stops_at_the_first_low_score_and_after_twenty(self) -> None:
        host = frigate.make(deployable(decoding_graph()), "usb").host
        scores = np.array([0.9, 0.3, 0.8], np.float32)
        unsorted = Detections(np.zeros((3, 4), np.float32), np.zeros(3, np.int64), scores)
        assert host.shown(unsorted).scores.tolist() == [np.float32(0.9)]
        many = Detections(np.zeros((50, 4), np.float32), np.zeros(50, np.int64), np.full(50, 0.4, np.float32))
        assert len(host.shown(many)) == 20


class TestRefusals:
    """Each with the fix; nothing is bundled that Frigate would misread."""

    def test_raw_heads(self) -> None:
        with pytest.raises(UnsupportedModelError, match="raw boxes and scores") as refusal:
            frigate.make(deployable(pixel_graph()), "usb")
        assert "--postprocess op" in refusal.value.hint

    def test_another_number_of_outputs(self) -> None:
        graph = decoding_graph()
        model = deployable(graph)
        model.graph.outputs.pop()
        with pytest.raises(UnsupportedModelError, match="3 outputs are not the four"):
            frigate.make(model, "usb")

    def test_float_input(self) -> None:
        model = deployable(decoding_graph())
        model.graph.inputs[0].dtype = np.dtype(np.float32)
        with pytest.raises(UnsupportedModelError, match="hands over pixels") as refusal:
            frigate.make(model, "usb")
        assert "--io uint8" in refusal.value.hint

    def test_an_input_whose_integers_are_not_the_pixels(self) -> None:
        head = replace(pixel_head(), input=InputSpec((SIDE, SIDE), 1 / 255, 0.0))
        with pytest.raises(UnsupportedModelError, match="plain pixels"):
            frigate.make(deployable(decoding_graph(), head), "usb")


class TestConfiguration:
    """Valid YAML whose numbers and paths are those of the model."""

    def section(self, model: DeployableModel, device: Any = "usb") -> Any:
        return yaml.safe_load(frigate.make(model, device).files["config.yml"])

    def test_of_a_compiled_model(self) -> None:
        model = deployable(compiled_stand_in(), is_compiled=True, runnable=None, not_run="no device")
        model = replace(model, file_name="pixels_int8_edgetpu.tflite")
        assert self.section(model, "pci") == {
            "detectors": {"coral": {"type": "edgetpu", "device": "pci"}},
            "model": {
                "path": "/config/pixels/pixels_int8_edgetpu.tflite",
                "labelmap_path": "/config/pixels/labelmap.txt",
                "width": SIDE,
                "height": SIDE,
                "input_tensor": "nhwc",
                "input_pixel_format": "rgb",
                "model_type": "ssd",
            },
            "objects": {"track": list(LABELS)},
        }

    def test_a_model_that_is_not_compiled_runs_on_the_cpu_and_says_so(self) -> None:
        model = deployable(decoding_graph())
        assert self.section(model)["detectors"] == {"cpu1": {"type": "cpu", "num_threads": 3}}
        bundle = frigate.make(model, "usb")
        assert "not-compiled" in rules(model)
        assert b"NOT COMPILED" in bundle.files["README.txt"] and b"NOT compiled" in bundle.files["config.yml"]

    def test_labels_that_yaml_would_take_for_something_else_stay_labels(self) -> None:
        labels = ("yes", 'a "b": #c', "Käse 🧀")
        model = deployable(decoding_graph(), pixel_head(labels=labels))
        assert self.section(model)["objects"]["track"] == list(labels)

    def test_a_label_of_two_classes_is_tracked_once_and_told(self) -> None:
        model = deployable(decoding_graph(), pixel_head(labels=("a", "b", "a")))
        assert self.section(model)["objects"]["track"] == ["a", "b"]
        assert "duplicate-labels" in rules(model)

    def test_labels_that_break_topics_are_told(self) -> None:
        assert "label-in-topics" in rules(deployable(decoding_graph(), pixel_head(labels=("a/b", "c", "d"))))

    def test_missing_names_are_told(self) -> None:
        labels = ("class 0", "class 1", "class 2")
        assert "no-class-names" in rules(deployable(decoding_graph(), pixel_head(labels=labels)))

    def test_every_check_of_the_files_passes(self) -> None:
        assert {check.verdict for check in frigate.make(deployable(decoding_graph()), "usb").checks} == {"pass"}

    def test_the_readme_names_the_folder_and_both_paths(self) -> None:
        text = frigate.make(deployable(decoding_graph()), "usb").files["README.txt"].decode()
        for path in ("/config/pixels/pixels_int8.tflite", "/config/pixels/labelmap.txt", "config.yml"):
            assert path in text
        assert max(map(len, text.splitlines())) <= 100


def test_a_model_that_is_not_square_is_told() -> None:
    model = deployable(decoding_graph())
    model.graph.inputs[0].shape = (1, SIDE, SIDE + 4, 3)
    model = replace(model, head=replace(model.head, input=replace(model.head.input, size=(SIDE, SIDE + 4))))
    found = [finding.rule for finding in frigate._findings(model)]
    assert "not-square" in found


def test_files_lie_where_the_configuration_says(tmp_path: Path) -> None:
    files = frigate.make(deployable(decoding_graph()), "usb").files
    assert set(files) == {"README.txt", "config.yml", "pixels/pixels_int8.tflite", "pixels/labelmap.txt"}
