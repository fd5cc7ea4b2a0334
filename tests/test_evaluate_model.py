"""The whole of `coralsmith evaluate`, on a tiny detector and data sets that hold what it finds itself."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from coralsmith.cli import main
from coralsmith.detection.detections import Detections
from coralsmith.detection.images import load_rgb
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.errors import DetectionHeadError, DeviceError, ImageDataError, UsageError
from coralsmith.evaluate_model import evaluate
from coralsmith.graph import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite
from coralsmith.progress import SilentProgress
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.report.schemas import schemas
from coralsmith.runtime.detector import Detector
from tests.runtime.stand_in_edgetpu import StandInEdgeTpu, compiled_form
from tests.tiny_detector import SIDE, tiny_detector, tiny_head, write_photos, write_tiny_detector

pytestmark = pytest.mark.slow

FEW = 20  # bootstrap draws


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path / "float")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A YOLO data set whose objects are the confident detections of the float model."""
    return write_found(tmp_path / "data", Detector(tiny_detector(), tiny_head()))


def write_found(folder: Path, detector: Detector, names: str = "[left, right]") -> Path:
    photos = write_photos(folder / "images" / "test")
    (folder / "data.yaml").write_text(f"test: images/test\nnames: {names}\n")
    (folder / "labels" / "test").mkdir(parents=True)
    for photo in photos.glob("*.png"):
        found = detector.detect(load_rgb(photo)).at_least(0.5).clipped()
        (folder / "labels" / "test" / f"{photo.stem}.txt").write_text("".join(map(_line, *_columns(found))))
    return folder


def _columns(found: Detections) -> tuple[list[int], list[list[float]]]:
    return found.class_ids.tolist(), found.boxes.tolist()


def _line(class_id: int, box: list[float]) -> str:
    ymin, xmin, ymax, xmax = box
    return f"{class_id} {(xmin + xmax) / 2} {(ymin + ymax) / 2} {xmax - xmin} {ymax - ymin}\n"


def quantized() -> Graph:
    images = [np.random.default_rng(s).uniform(-1, 1, (1, SIDE, SIDE, 3)).astype(np.float32) for s in range(4)]
    graph, _ = append_score_activation(tiny_detector(), tiny_head())
    return quantize_graph(graph, images).graph


def write_int8_with_operator(folder: Path) -> Path:
    """As `convert` writes it: the operator inside, its head beside it."""
    _, head = append_score_activation(tiny_detector(), tiny_head())
    folder.mkdir(parents=True, exist_ok=True)
    write_tflite(attach_postprocess_op(quantized(), head), folder / "tiny_int8.tflite")
    head.save(folder / "head.json")
    return folder / "tiny_int8.tflite"


def test_a_model_finds_what_it_finds_itself(model: Path, data: Path) -> None:
    report = evaluate(model, data, resamples=FEW)
    assert report.images == 6 and report.ap is not None
    assert report.ap50 == pytest.approx(1)  # all objects are its own confident detections, best first
    assert set(report.per_class) == {"left", "right"}
    assert report.decoding.suppression == "within classes" and report.decoding.score == 0.2
    assert (report.against, report.drop, report.agreement) == (None, None, None)


def test_a_model_loses_nothing_against_itself(model: Path, data: Path) -> None:
    report = evaluate(model, data, against=model, resamples=FEW)
    assert (report.drop, report.drop_interval) == (0, (0, 0))
    assert report.agreement is not None and report.agreement.ap == pytest.approx(1)
    assert [row.form for row in report.ledger] == ["float", "float"]


def test_the_other_model_is_decoded_as_the_first_is_delivered(model: Path, data: Path, tmp_path: Path) -> None:
    """Against int8 with the operator, the float model too has one class for each box: its AP is another one."""
    int8 = write_int8_with_operator(tmp_path / "int8")
    report = evaluate(int8, data, against=model, resamples=FEW)
    assert report.decoding.suppression == "across classes"
    graph, head = append_score_activation(tiny_detector(), tiny_head())
    operator = tmp_path / "operator" / "tiny.tflite"
    operator.parent.mkdir()
    write_tflite(attach_postprocess_op(graph, head), operator)
    alone = evaluate(operator, data, labels=labels_file(tmp_path), resamples=FEW)
    assert report.against is not None and report.against.ap == pytest.approx(alone.ap, abs=1e-6)
    assert [row.form for row in report.ledger] == ["float", "int8"]


def labels_file(folder: Path, text: str = "left\nright\n") -> Path:
    (folder / "labels.txt").write_text(text)
    return folder / "labels.txt"


def test_forms_without_labels_take_them_from_the_form_that_has_them(
    model: Path, data: Path, tmp_path: Path
) -> None:
    int8 = write_int8_with_operator(tmp_path / "int8")
    (int8.parent / "head.json").unlink()
    report = evaluate(int8, data, against=model, resamples=FEW)
    assert report.agreement is not None and report.agreement.ap > 0.3


def test_without_any_labels_the_classes_cannot_be_told(data: Path, tmp_path: Path) -> None:
    int8 = write_int8_with_operator(tmp_path / "int8")
    (int8.parent / "head.json").unlink()
    with pytest.raises(DetectionHeadError, match=r"boxes of 'left'.*'class 0', 'class 1'") as error:
        evaluate(int8, data)
    assert "--labels" in error.value.hint


def test_shifted_labels_are_told(model: Path, tmp_path: Path) -> None:
    """The same data with its two classes renamed: the model calls most objects by the other name."""
    head = replace(tiny_head(), labels=("right", "left"))
    data = write_found(tmp_path / "data", Detector(tiny_detector(), tiny_head()))
    head.save(model.parent / "tiny_head.json")
    found = {finding.rule for finding in evaluate(model, data, resamples=FEW).findings}
    assert found & {"labels-shifted", "labels-exchanged"}


def test_agreement_needs_no_labels(model: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    report = evaluate(model, images=photos, against=model, resamples=FEW)
    assert (report.ap, report.per_class, report.drop) == (None, {}, None)
    assert report.agreement is not None and report.agreement.ap == pytest.approx(1)


def test_a_second_run_takes_the_detections_from_the_cache(model: Path, data: Path) -> None:
    class Notes(SilentProgress):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    first, second, third = Notes(), Notes(), Notes()
    reports = [evaluate(model, data, resamples=FEW, progress=progress) for progress in (first, second)]
    assert reports[0] == reports[1]
    assert evaluate(model, data, resamples=FEW, cache=False, progress=third) == reports[0]
    assert (first.notes, second.notes, third.notes) == ([], ["taken from an earlier run"], [])


def test_a_high_score_limit_is_told(model: Path, data: Path) -> None:
    assert "high-score-limit" in {finding.rule for finding in evaluate(model, data, resamples=FEW).findings}


def test_labels_of_another_number_are_an_error(data: Path, tmp_path: Path) -> None:
    int8 = write_int8_with_operator(tmp_path / "int8")
    replace(tiny_head(), labels=("a", "b", "c")).save(int8.parent / "head.json")
    with pytest.raises(DetectionHeadError, match="finds 2 classes, its head names 3"):
        evaluate(int8, data)


def test_a_compiled_model_is_measured_on_the_edge_tpu(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the device, which computes what the int8 model computes."""
    int8 = write_int8_with_operator(tmp_path / "int8")
    compiled = int8.with_name("tiny_int8_edgetpu.tflite")
    _, head = append_score_activation(tiny_detector(), tiny_head())
    write_tflite(attach_postprocess_op(compiled_form(quantized()), head), compiled)
    device = StandInEdgeTpu(read_tflite(int8), monkeypatch)
    report = evaluate(compiled, data, against=int8, resamples=FEW)
    assert [row.form for row in report.ledger] == ["int8", "edgetpu"]
    assert report.drop == 0 and report.ap is not None and report.ap > 0.3
    device.is_plugged_in = False
    with pytest.raises(DeviceError, match="unplugged"):
        evaluate(compiled, data, against=int8, resamples=FEW)


def test_of_a_compiled_model_with_raw_heads_the_compiler_s_own_bytes_are_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, head = append_score_activation(tiny_detector(), tiny_head())
    compiled = tmp_path / "tiny_edgetpu.tflite"
    write_tflite(compiled_form(quantized()), compiled)
    compiled.write_bytes(compiled.read_bytes() + b"as the compiler wrote it")
    head.save(tmp_path / "head.json")
    device = StandInEdgeTpu(quantized(), monkeypatch)
    evaluate(compiled, data, resamples=FEW)
    assert set(device.contents) == {compiled.read_bytes()}


def test_something_to_measure_on_is_needed(model: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="Either a data set or a folder"):
        evaluate(model)
    with pytest.raises(UsageError, match="Either a data set or a folder"):
        evaluate(model, data, images=data, against=model)
    with pytest.raises(UsageError, match="only the agreement"):
        evaluate(model, images=data)
    with pytest.raises(ImageDataError, match="not a folder"):
        evaluate(model, data / "nowhere")


def test_the_command_prints_the_document(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["coralsmith", "evaluate", str(model), "--dataset", str(data), "--against", str(model), "--json"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", arguments)
        main()
    document = json.loads(capsys.readouterr().out)
    assert end.value.code == 0
    assert {"images", "ap", "ap50", "ap75", "ap_interval", "per_class", "against", "drop", "drop_interval"} <= set(
        document
    )
    assert document["schema"] == "coralsmith/evaluate/1" and len(document["ap_interval"]) == 2
    jsonschema.validate(document, schemas()["evaluate"])


def test_a_reference_without_a_head_is_told_where_its_head_is_looked_for(
    model: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "other.tflite"
    other.parent.mkdir()
    write_tflite(tiny_detector(), other)
    with pytest.raises(DetectionHeadError) as error:
        evaluate(model, data, against=other)
    assert "other.tflite" in error.value.message and "'other_head.json'" in error.value.hint
