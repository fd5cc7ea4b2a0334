"""The command `tune`: what `convert` writes, with a trained int8 model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import coralsmith
from coralsmith import tune_model
from coralsmith.cli import app
from coralsmith.errors import DetectionHeadError, MissingExtraError, UsageError
from tests.evaluation.data_sets import VocObject, write_voc
from tests.tiny_detector import write_photos, write_tiny_detector

pytestmark = pytest.mark.slow

QUICK = {"compiler": "none", "tuning_epochs": 1, "tuning_minutes": 0, "tuning_device": "cpu"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path / "model")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 8)


def test_it_writes_what_convert_writes_and_tells_what_training_gained(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = ["tune", str(model), "--images", str(photos), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--epochs", "1", "--minutes", "0", "--compiler", "none"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert any(finding["rule"].startswith("tun") for finding in report["findings"])
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert {"tiny_float.tflite", "tiny_int8.tflite", "head.json", "labels.txt", "report.json"} <= names


def test_a_second_run_takes_the_trained_model_from_the_first(model: Path, photos: Path, tmp_path: Path) -> None:
    coralsmith.tune(model, photos, tmp_path / "out", **QUICK)
    before = (tmp_path / "out" / "tiny_int8.tflite").read_bytes()
    again = coralsmith.tune(model, photos, tmp_path / "out", **QUICK)
    assert next(stage for stage in again.stages if stage.name.startswith("Quantize")).resumed
    assert (tmp_path / "out" / "tiny_int8.tflite").read_bytes() == before
    assert not (tmp_path / "out" / ".coralsmith" / "tuning.pt").exists()


def test_without_torch_the_extra_is_named_before_anything_else_is_done(monkeypatch: Any) -> None:
    monkeypatch.setattr(tune_model, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="Tuning needs the optional dependency group 'torch'"):
        coralsmith.tune("absent.keras", "absent")


def test_a_rate_that_makes_no_sense_is_named(model: Path, photos: Path) -> None:
    with pytest.raises(UsageError, match="'tuning_rate' cannot be -1"):
        coralsmith.tune(model, photos, tuning_rate=-1)


def test_the_help_does_not_import_torch() -> None:
    assert CliRunner().invoke(app, ["tune", "--help"]).exit_code == 0
    assert tune_model.__name__ in sys.modules


def labelled(folder: Path) -> Path:
    marked: VocObject = ("left", (9, 7, 48, 36), 0)
    names = [f"{i}" for i in range(6)]
    return write_voc(folder, {name: [marked] for name in names}, {"train": names})


def test_it_is_trained_with_the_labels_of_a_data_set(model: Path, photos: Path, tmp_path: Path) -> None:
    data, out = labelled(tmp_path / "data"), tmp_path / "out"
    arguments = ["tune", str(model), "--images", str(photos), "--dataset", str(data), "--out", str(out), "--json"]
    result = CliRunner().invoke(
        app, [*arguments, "--epochs", "1", "--minutes", "0", "--compiler", "none", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    rules = {finding["rule"] for finding in json.loads(result.stdout)["findings"]}
    assert {"trained-with-labels", "classes-without-labels"} <= rules
    plain = coralsmith.tune(model, photos, out, **QUICK)
    assert not next(stage for stage in plain.stages if stage.name.startswith("Quantize")).resumed


def test_the_float_model_itself_can_be_trained_and_is_what_int8_is_held_against(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    data = labelled(tmp_path / "data")
    out = tmp_path / "out"
    arguments = ["tune", str(model), "--images", str(photos), "--dataset", str(data), "--out", str(out), "--float"]
    quick = ["--epochs", "30", "--minutes", "0", "--compiler", "none", "--learning-rate", "0.2", "--json"]
    result = CliRunner().invoke(app, [*arguments, *quick])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert any(finding["reason"].startswith("The float model was trained") for finding in report["findings"])
    names = [stage["name"] for stage in report["stages"]]
    assert names.index("Train the float model") < names.index("Quantize to int8")
    coralsmith.convert(model, photos, tmp_path / "plain", compiler="none")
    trained = (out / "tiny_float.tflite").read_bytes()
    assert trained != (tmp_path / "plain" / "tiny_float.tflite").read_bytes()
    again = json.loads(CliRunner().invoke(app, [*arguments, *quick]).stdout)
    assert {stage["name"]: stage["resumed"] for stage in again["stages"]}["Train the float model"]
    assert (out / "tiny_float.tflite").read_bytes() == trained


def test_the_float_model_cannot_be_trained_without_labels(model: Path, photos: Path) -> None:
    with pytest.raises(UsageError, match="cannot be trained without labels"):
        coralsmith.tune(model, photos, form="float")


def test_classes_that_the_model_does_not_know_are_named_before_the_work(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    data = write_voc(tmp_path / "data", {"a": [("zebra", (9, 7, 48, 36), 0)]}, {"train": ["a"]})
    with pytest.raises(DetectionHeadError, match="boxes of 'zebra', which the model does not know"):
        coralsmith.tune(model, photos, tmp_path / "out", dataset=data, **QUICK)


def test_a_split_without_a_data_set_is_named(model: Path, photos: Path) -> None:
    with pytest.raises(UsageError, match="no data set that 'train' could be a split of"):
        coralsmith.tune(model, photos, split="train")


def test_a_source_that_is_quantized_already_cannot_be_trained(model: Path, photos: Path, tmp_path: Path) -> None:
    coralsmith.convert(model, photos, tmp_path / "out", compiler="none")
    with pytest.raises(UsageError, match="quantized already: there is no float model to train"):
        coralsmith.tune(tmp_path / "out" / "tiny_int8.tflite", photos, tmp_path / "again")


def test_another_head_is_another_training_but_another_compiler_is_not(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    data, out = labelled(tmp_path / "data"), tmp_path / "out"

    def was_resumed(**more: Any) -> bool:
        report = coralsmith.tune(model, photos, out, dataset=data, **QUICK, **more)
        return bool(next(stage for stage in report.stages if stage.name.startswith("Quantize")).resumed)

    assert not was_resumed()
    assert was_resumed(explain=True, max_ap_drop=None)
    head = tmp_path / "head.json"
    document = json.loads((out / "head.json").read_text())
    document["outputs"] = {"boxes": "boxes", "scores": "scores"}
    document["scores"] = {"activation": "sigmoid", "background": None}
    document["labels"].reverse()
    head.write_text(json.dumps(document))
    assert not was_resumed(head=head)
