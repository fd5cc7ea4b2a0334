"""A detector takes any photo and gives boxes of that photo, whatever form its model has."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coralsmith.detection.detections import Detections
from coralsmith.detection.labels import write_labels
from coralsmith.errors import DetectionHeadError, DeviceError, ImageDataError, UnsupportedModelError, UsageError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite
from coralsmith.runtime.detector import Detector
from tests.builders import conv_graph
from tests.runtime.conftest import TinyForms
from tests.runtime.stand_in_edgetpu import StandInEdgeTpu, compiled_form
from tests.tiny_detector import SIDE, tiny_detector, tiny_head


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3)).astype(np.uint8)


def gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.linspace(0, 255, height)[:, None], np.linspace(255, 0, width)[None, :]
    channels = [np.broadcast_to(c, (height, width)) for c in (rows, columns, (rows + columns) / 2)]
    return np.stack(channels, axis=2).astype(np.uint8)


def assert_same(first: Detections, second: Detections) -> None:
    np.testing.assert_array_equal(first.class_ids, second.class_ids)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.boxes, second.boxes)


class TestImages:
    def test_boxes_are_normalised_to_the_photo_whatever_its_size(self) -> None:
        detector = Detector(tiny_detector(), tiny_head())
        first, second = detector.detect(gradient(SIDE, SIDE)), detector.detect(gradient(3 * SIDE, 2 * SIDE))
        np.testing.assert_allclose(first.boxes[:3], second.boxes[:3], atol=0.05)

    def test_arrays_pictures_and_files_of_one_photo_give_the_same(self, forms: TinyForms, tmp_path: Path) -> None:
        pixels = photo(40, 50)
        Image.fromarray(pixels).save(tmp_path / "photo.png")
        detector = Detector(forms.raw)
        expected = detector.detect(pixels)
        assert len(expected)
        for form in (
            Image.fromarray(pixels),
            tmp_path / "photo.png",
            str(tmp_path / "photo.png"),
            np.asfortranarray(pixels),
            np.dstack([pixels, np.zeros((40, 50), np.uint8)]),
        ):
            assert_same(detector.detect(form), expected)
        turned = detector.detect(pixels[..., ::-1], bgr=True)
        np.testing.assert_allclose(turned.scores[:3], expected.scores[:3], atol=0.03)
        assert [path.name for path, _ in detector.detect_files(tmp_path)] == ["photo.png"]
        assert_same(detector.detect_all([pixels])[0], expected)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 700, 3), (700, 1, 1), (33, 31)])
    def test_any_shape_of_image_is_looked_at(self, forms: TinyForms, shape: tuple[int, ...]) -> None:
        found = Detector(forms.raw).detect(np.full(shape, 77, np.uint8))
        assert np.isfinite(found.boxes).all()

    @pytest.mark.parametrize(
        "wrong",
        [np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)],
    )
    def test_what_is_no_image_is_refused(self, forms: TinyForms, wrong: np.ndarray) -> None:
        with pytest.raises(ImageDataError, match="cannot be looked at"):
            Detector(forms.raw).detect(wrong)


class TestForms:
    def test_a_model_with_the_operator_and_one_with_raw_heads_detect_the_same(self, forms: TinyForms) -> None:
        image = photo(60, 90)
        with_operator, raw = Detector(forms.with_operator), Detector(forms.raw, per_class=False)
        assert with_operator.decodes_itself and not raw.decodes_itself
        first, second = with_operator.detect(image), raw.detect(image)
        np.testing.assert_array_equal(first.class_ids[:3], second.class_ids[:3])
        np.testing.assert_allclose(first.scores[:3], second.scores[:3], atol=0.02)

    @pytest.mark.parametrize("order", [(2, 0, 3, 1), (0, 1, 2, 3), (3, 2, 1, 0)])
    def test_the_outputs_of_the_operator_may_come_in_any_order(
        self, forms: TinyForms, order: tuple[int, ...]
    ) -> None:
        graph = read_tflite(forms.with_operator)
        graph.outputs = [graph.outputs[place] for place in order]
        assert_same(
            Detector(graph, forms.head).detect(photo(40, 40)), Detector(forms.with_operator).detect(photo(40, 40))
        )

    def test_a_model_that_lacks_an_output_of_its_operator_is_refused(self, forms: TinyForms) -> None:
        graph = read_tflite(forms.with_operator)
        graph.outputs = graph.outputs[:3]
        with pytest.raises(DetectionHeadError, match="four outputs, the model 3"):
            Detector(graph, forms.head)

    def test_labels_beside_a_model_with_the_operator_name_its_classes(
        self, forms: TinyForms, tmp_path: Path
    ) -> None:
        (tmp_path / "model.tflite").write_bytes(forms.with_operator.read_bytes())
        assert Detector(tmp_path / "model.tflite").head.labels == ("class 0", "class 1")
        write_labels(tmp_path / "labels.txt", ["port", "starboard"])
        found = Detector(tmp_path / "model.tflite").detect(photo(40, 40))
        assert {detection.label for detection in found} <= {"port", "starboard"}
        write_labels(tmp_path / "labels.txt", ["port", "starboard", "mast"])
        with pytest.raises(DetectionHeadError, match="3 labels, the model 2"):
            Detector(tmp_path / "model.tflite")

    def test_a_head_of_another_model_is_refused(self) -> None:
        with pytest.raises(DetectionHeadError):
            Detector(conv_graph(size=SIDE), tiny_head())


class TestThresholds:
    def test_the_lowest_score_counts_for_all_and_that_of_a_class_for_it(self, forms: TinyForms) -> None:
        for model in (forms.raw, forms.with_operator):
            everything = Detector(model).detect(photo(60, 90))
            middle = float(np.median(everything.scores))
            found = Detector(model, min_score=middle).detect(photo(60, 90))
            assert 0 < len(found) < len(everything)
            assert found.scores.min() >= middle
            one = Detector(model, min_score=1.0, class_scores={"left": 0.0}).detect(photo(60, 90))
            assert set(one.class_ids.tolist()) <= {0}

    def test_unknown_classes_and_impossible_scores_are_refused(self, forms: TinyForms) -> None:
        with pytest.raises(UsageError, match="no class 'middle'"):
            Detector(forms.raw, class_scores={"middle": 0.5})
        with pytest.raises(UsageError, match="probability"):
            Detector(forms.raw, min_score=1.5)


class TestEdgeTpu:
    """With a stand-in for libedgetpu and the device."""

    def test_a_compiled_model_runs_on_the_device_that_is_named(
        self, forms: TinyForms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = read_tflite(forms.raw)
        device = StandInEdgeTpu(source, monkeypatch)
        detector = Detector(compiled_form(source), forms.head, device="usb:1")
        assert detector.device == "usb:1" and device.opened == ["usb:1"]
        assert_same(detector.detect(photo(50, 40)), Detector(forms.raw).detect(photo(50, 40)))

    def test_an_unplugged_device_is_an_error_and_the_next_call_finds_it_again(
        self, forms: TinyForms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = read_tflite(forms.raw)
        device = StandInEdgeTpu(source, monkeypatch)
        detector = Detector(compiled_form(source), forms.head)
        expected = detector.detect(photo(50, 40))
        device.is_plugged_in = False
        with pytest.raises(DeviceError, match=r"stopped while it worked.*USB transfer"):
            detector.detect(photo(50, 40))
        with pytest.raises(DeviceError, match="unplugged"):
            detector.detect(photo(50, 40))
        with pytest.raises(DeviceError, match="unplugged"):
            detector.reconnect()
        device.is_plugged_in = True
        assert_same(detector.detect(photo(50, 40)), expected)
        assert device.opened == ["auto", "auto"]

    def test_without_the_device_the_error_names_the_doctor(
        self, forms: TinyForms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("platform.system", lambda: "Windows")  # whose library no test machine has
        write_tflite(compiled_form(read_tflite(forms.raw)), tmp_path / "tiny_edgetpu.tflite")
        with pytest.raises(DeviceError, match=r"edgetpu\.dll") as caught:
            Detector(tmp_path / "tiny_edgetpu.tflite", forms.head)
        assert caught.value.exit_code == 3
        assert "coralsmith doctor" in caught.value.hint

    def test_model_and_device_must_fit(self, forms: TinyForms) -> None:
        with pytest.raises(UnsupportedModelError, match="that device only"):
            Detector(compiled_form(read_tflite(forms.raw)), forms.head, device="cpu")
        with pytest.raises(UnsupportedModelError, match="not compiled"):
            Detector(forms.raw, device="usb")
        for wrong in ("", "gpu", "usb:x", "usb:0:1"):
            with pytest.raises(UsageError, match="no device"):
                Detector(forms.raw, device=wrong)


def test_threads_share_a_detector(forms: TinyForms) -> None:
    detector = Detector(forms.raw)
    images = [photo(40 + number, 50) for number in range(8)]
    expected = detector.detect_all(images)
    found: dict[int, list[Detections]] = {}

    def work(worker: int) -> None:
        found[worker] = [detector.detect(image) for image in images for _ in range(5)]

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in found.values():
        for number, result in enumerate(results):
            assert_same(result, expected[number // 5])


def test_a_closed_detector_opens_itself_again(forms: TinyForms) -> None:
    with Detector(forms.raw) as detector:
        expected = detector.detect(photo(40, 40))
    assert_same(detector.detect(photo(40, 40)), expected)
