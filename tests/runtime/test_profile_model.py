"""`coralsmith profile` on small models: what it measures, beside what it estimates, and what it says it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coralsmith.cli import main
from coralsmith.errors import DeviceError, InputError, UsageError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite
from coralsmith.profile_model import FRAME, profile
from tests.builders import conv_graph
from tests.runtime.conftest import TinyForms
from tests.runtime.stand_in_edgetpu import StandInEdgeTpu, compiled_form

QUICK = {"runs": 2, "warm_up": 0}


def test_the_stages_the_threads_and_the_operators_are_measured_and_the_estimate_is_beside_them(forms):
    report = profile(forms.with_operator, **QUICK)
    assert (report.device, report.image_size, report.runs) == ("cpu", FRAME, 2)
    assert report.stages_ms.pre is not None and report.stages_ms.post is not None
    assert [op.kind for op in report.cpu_ops][-1] == "TFLite_Detection_PostProcess"
    assert report.sweep[0].threads == 1
    assert report.estimate_ms is not None and report.edgetpu_ms is None


def test_images_of_the_user_are_taken(forms, tmp_path):
    Image.fromarray(np.zeros((30, 50, 3), np.uint8)).save(tmp_path / "photo.png")
    assert profile(forms.raw, tmp_path, **QUICK).image_size == (30, 50)


def test_without_a_head_the_model_alone_is_timed_and_that_is_said(tmp_path):
    write_tflite(conv_graph(), tmp_path / "conv.tflite")
    report = profile(tmp_path / "conv.tflite", **QUICK)
    assert report.stages_ms.pre is None and report.stages_ms.post is None and report.image_size is None
    assert "profile-without-head" in {finding.rule for finding in report.findings}


def test_a_compiled_model_needs_its_device(forms, tmp_path):
    write_tflite(compiled_form(read_tflite(forms.raw)), tmp_path / "tiny_int8_edgetpu.tflite")
    forms.head.save(tmp_path / "head.json")
    with pytest.raises(DeviceError) as error:
        profile(tmp_path / "tiny_int8_edgetpu.tflite", **QUICK)
    assert "doctor" in error.value.hint and error.value.exit_code == 3


@pytest.mark.parametrize("plugged_in", [True, False])
def test_the_compiled_model_beside_it_is_timed_where_there_is_a_device(forms, tmp_path, monkeypatch, plugged_in):
    source = read_tflite(forms.raw)
    write_tflite(source, tmp_path / "tiny_int8.tflite")
    write_tflite(compiled_form(source), tmp_path / "tiny_int8_edgetpu.tflite")
    forms.head.save(tmp_path / "head.json")
    device = StandInEdgeTpu(source, monkeypatch)
    device.is_plugged_in = plugged_in
    report = profile(tmp_path / "tiny_int8.tflite", **QUICK)
    rules = {finding.rule for finding in report.findings}
    assert (report.edgetpu_ms is not None, "edgetpu-not-timed" in rules) == (plugged_in, not plugged_in)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"warm_up": -1}, {"threads": 0}])
def test_numbers_that_make_no_sense(forms, wrong):
    with pytest.raises(UsageError):
        profile(forms.raw, **wrong)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "x.tflite").write_text("no model")
    with pytest.raises(InputError):
        profile(tmp_path / "x.tflite")


def test_the_command_prints_the_document_of_its_schema_and_writes_the_page(
    forms: TinyForms,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    import jsonschema

    page = tmp_path / "profile.html"
    command = ["coralsmith", "profile", str(forms.raw), "--runs", "2", "--html", str(page), "--json"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    document = json.loads(capsys.readouterr().out)
    schema = json.loads((request.config.rootpath / "docs" / "schemas" / "profile.json").read_text("utf-8"))
    jsonschema.validate(document, schema)
    assert set(document["stages_ms"]["invoke"]) == {"median", "p95", "fastest"}
    text = page.read_text("utf-8")
    assert "prediction" in text and "measured" in text and "http" not in text.split("</head>")[1]


def test_the_terminal_tells_measurement_and_estimate_apart(forms, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["coralsmith", "profile", str(forms.raw), "--runs", "2", "-v"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().out
    assert "frames a second" in shown and "estimated (not measured)" in shown and "Stages, measured" in shown
