"""The corridor from a float detector to a reported int8 model: what it writes, and what stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import coralsmith
from coralsmith.detection.head import DetectionHead, InputSpec, ScoreSpec
from coralsmith.errors import (
    CompilerError,
    DetectionHeadError,
    ImageDataError,
    InputError,
    OutputError,
    UsageError,
)
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite
from coralsmith.output_folder import OutputFolder
from coralsmith.runtime.detector import Detector
from tests.builders import conv_graph
from tests.tiny_detector import tiny_head, write_photos, write_tiny_detector

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path / "model")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    """The files that do not tell times."""
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.suffix in (".tflite", ".txt")}


def test_it_writes_the_models_the_head_the_labels_and_the_report(model: Path, photos: Path, out: Path) -> None:
    report = coralsmith.convert(model, photos, out, compiler="none")
    written = {path.name for path in out.iterdir() if path.is_file()}
    assert written == {
        "tiny_float.tflite", "tiny_int8.tflite", "head.json", "labels.txt", "report.json", "report.html",
    }  # fmt: skip
    assert report.verdict.status == "int8-ready"
    assert (out / "labels.txt").read_text() == "left\nright\n"
    assert json.loads((out / "report.json").read_text())["schema"] == "coralsmith/report/1"
    assert {file.name for file in report.files} == written - {"report.json"}


def test_every_operator_but_the_documented_tail_is_predicted_on_the_edge_tpu(
    model: Path, photos: Path, out: Path
) -> None:
    report = coralsmith.convert(model, photos, out, compiler="none")
    on_cpu = [op["kind"] for op in report.check["ops"] if op["target"] != "edgetpu"]
    assert sorted(on_cpu) == ["CUSTOM", "DEQUANTIZE", "DEQUANTIZE"]
    assert report.check["partitions"] == 1


def test_nothing_is_called_compiled_without_the_compiler(model: Path, photos: Path, out: Path) -> None:
    out.mkdir()
    (out / ".coralsmith").mkdir()
    (out / "tiny_int8_edgetpu.tflite").write_bytes(b"left over from an earlier run")
    report = coralsmith.convert(model, photos, out, compiler="none")
    assert not list(out.glob("*_edgetpu*"))
    assert "not compiled" in report.verdict.title
    assert "edgetpu_compiler" in report.verdict.command


def test_the_int8_model_detects_what_the_float_model_detects(model: Path, photos: Path, out: Path) -> None:
    report = coralsmith.convert(model, photos, out, compiler="none")
    assert report.agreement is not None
    assert report.agreement.float_detections > 0
    assert report.agreement.matched >= 0.8 * report.agreement.float_detections
    assert min(output.sqnr_db for output in report.quantization.outputs) > 25


def test_the_written_head_and_models_belong_together(model: Path, photos: Path, out: Path) -> None:
    coralsmith.convert(model, photos, out, compiler="none")
    head = DetectionHead.load(out / "head.json")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    expected = Detector(out / "tiny_float.tflite", head, per_class=False).detect(image)
    found = Detector(out / "tiny_int8.tflite", head).detect(image)
    assert len(found) == pytest.approx(len(expected), abs=1)
    assert found.scores[0] == pytest.approx(expected.scores[0], abs=0.05)


def test_without_the_operator_the_heads_stay_raw_and_have_the_type_of_the_input(
    model: Path, photos: Path, out: Path
) -> None:
    coralsmith.convert(model, photos, out, compiler="none", postprocess="none")
    graph = read_tflite(out / "tiny_int8.tflite")
    assert {tensor.name for tensor in graph.outputs} == {"boxes", "scores"}
    assert {tensor.dtype.name for tensor in (*graph.inputs, *graph.outputs)} == {"uint8"}


@pytest.mark.parametrize("element_type", ["uint8", "int8", "float"])
def test_the_input_has_the_type_that_was_asked_for(
    model: Path, photos: Path, out: Path, element_type: str
) -> None:
    report = coralsmith.convert(model, photos, out, compiler="none", io=element_type)
    assert "operator-disagrees" not in {finding.rule for finding in report.findings}
    graph = read_tflite(out / "tiny_int8.tflite")
    assert graph.inputs[0].dtype.name == {"float": "float32"}.get(element_type, element_type)


def test_two_runs_give_the_same_bytes(model: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        coralsmith.convert(model, photos, tmp_path / name, compiler="none")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_a_second_run_into_the_same_folder_resumes_and_gives_the_same_bytes(
    model: Path, photos: Path, out: Path
) -> None:
    coralsmith.convert(model, photos, out, compiler="none")
    before = contents(out)
    report = coralsmith.convert(model, photos, out, compiler="none")
    assert [stage.name for stage in report.stages if stage.resumed] == ["Read the model", "Quantize to int8"]
    assert contents(out) == before


def test_a_changed_choice_is_not_served_from_the_cache(model: Path, photos: Path, out: Path) -> None:
    coralsmith.convert(model, photos, out, compiler="none")
    report = coralsmith.convert(model, photos, out, compiler="none", weights="per-tensor")
    assert [stage.name for stage in report.stages if stage.resumed] == ["Read the model"]


def test_another_normalisation_is_not_served_from_the_cache(model: Path, photos: Path, out: Path) -> None:
    head = DetectionHead.load(model.with_name("tiny_head.json"))
    for green in (120.0, 130.0):
        spec = InputSpec(head.input.size, mean=(125.0, green, 125.0), std=(60.0, 60.0, 60.0))
        replace(head, input=spec).save(model.with_name("other.json"))
        report = coralsmith.convert(model, photos, out, compiler="none", head=model.with_name("other.json"))
    assert [stage.name for stage in report.stages if stage.resumed] == ["Read the model"]


def test_a_quantized_model_skips_calibration(model: Path, photos: Path, tmp_path: Path) -> None:
    coralsmith.convert(model, photos, tmp_path / "first", compiler="none", postprocess="none")
    source = tmp_path / "first" / "tiny_int8.tflite"
    report = coralsmith.convert(source, None, tmp_path / "second", compiler="none")
    assert report.quantization.images is None
    assert report.verdict.status == "int8-ready"
    assert (tmp_path / "second" / "tiny_int8_int8.tflite").is_file()


def test_a_float_model_needs_images(model: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="needs images"):
        coralsmith.convert(model, None, out)


def test_a_folder_without_images_is_an_error(model: Path, tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageDataError):
        coralsmith.convert(model, tmp_path / "empty", out)


def test_a_broken_image_among_good_ones_warns(model: Path, photos: Path, out: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    report = coralsmith.convert(model, photos, out, compiler="none")
    assert "unreadable-image" in [finding.rule for finding in report.findings]


def test_pictures_of_which_none_can_be_read_are_named_as_the_cause(model: Path, tmp_path: Path, out: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "notes.jpg").write_text("no picture")
    with pytest.raises(ImageDataError, match="None of the 1 pictures"):
        coralsmith.convert(model, tmp_path / "broken", out)


def test_a_classification_model_has_no_detection_head(photos: Path, tmp_path: Path, out: Path) -> None:
    write_tflite(conv_graph(size=32), tmp_path / "classifier.tflite")
    with pytest.raises(DetectionHeadError) as caught:
        coralsmith.convert(tmp_path / "classifier.tflite", photos, out)
    assert "--postprocess none" in caught.value.hint


def test_a_model_without_a_head_is_converted_as_it_is_when_asked(photos: Path, tmp_path: Path, out: Path) -> None:
    write_tflite(conv_graph(size=32), tmp_path / "classifier.tflite")
    report = coralsmith.convert(tmp_path / "classifier.tflite", photos, out, postprocess="none", compiler="none")
    assert report.head is None
    assert "no-detection-head" in [finding.rule for finding in report.findings]


def test_a_file_of_another_kind_is_named(photos: Path, tmp_path: Path, out: Path) -> None:
    (tmp_path / "notes.keras").write_text("not a model")
    with pytest.raises(InputError):
        coralsmith.convert(tmp_path / "notes.keras", photos, out)
    assert not out.exists()


def test_an_empty_folder_of_the_user_stays(photos: Path, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    with pytest.raises(InputError):
        coralsmith.convert(tmp_path / "missing.keras", photos, out)
    assert out.is_dir()


def test_a_foreign_folder_is_not_written_into(model: Path, photos: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="not from coralsmith"):
        coralsmith.convert(model, photos, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_an_output_path_that_cannot_be_made_is_an_error(model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        coralsmith.convert(model, photos, tmp_path / "file" / "out")


def test_a_named_compiler_that_is_not_there_is_an_environment_error(model: Path, photos: Path, out: Path) -> None:
    with pytest.raises(CompilerError) as caught:
        coralsmith.convert(model, photos, out, compiler="/nowhere/edgetpu_compiler")
    assert caught.value.exit_code == 3


def test_an_unknown_choice_is_named(model: Path, photos: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="colour"):
        coralsmith.convert(model, photos, out, colour="blue")


def test_paths_with_spaces_and_a_read_only_source_work(photos: Path, tmp_path: Path) -> None:
    model = write_tiny_detector(tmp_path / "my models", "reef cam")
    model.parent.chmod(0o555)
    report = coralsmith.convert(model, photos, tmp_path / "the output", compiler="none")
    assert (tmp_path / "the output" / "reef cam_int8.tflite").is_file()
    assert report.name == "reef cam"


def test_a_head_that_calls_raw_scores_probabilities_is_refused(
    model: Path, photos: Path, tmp_path: Path, out: Path
) -> None:
    replace(tiny_head(), score=ScoreSpec("none")).save(tmp_path / "wrong.json")
    with pytest.raises(DetectionHeadError, match="scores run from"):
        coralsmith.convert(model, photos, out, head=tmp_path / "wrong.json", compiler="none")


def test_two_runs_never_write_into_one_folder_at_once(model: Path, photos: Path, out: Path) -> None:
    first = OutputFolder(out)
    with pytest.raises(UsageError, match="Another run is writing"):
        coralsmith.convert(model, photos, out, compiler="none")
    del first
    coralsmith.convert(model, photos, out, compiler="none", force=True)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_leaves_nothing_half_and_is_resumed(
    model: Path, photos: Path, out: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "coralsmith", "convert", str(model), "--images", str(photos), "-q"]
    command += ["--compiler", "none", "--out"]
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    duration = time.monotonic() - started
    whole = contents(tmp_path / "whole")
    for moment in np.linspace(0.2, 1.0, 7):
        process = subprocess.Popen([*command, str(out)])
        time.sleep(duration * moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for name, content in contents(out).items() if out.exists() else ():
            assert content == whole[name], f"{name} is not whole after a kill at {moment:.2f}"
    subprocess.run([*command, str(out)], check=True)
    assert contents(out) == whole
    assert {path.name for path in out.iterdir() if path.name.startswith(".")} == {".coralsmith"}
