"""`coralsmith bundle`: from a model and its head to files for a device, or a refusal that tells the fix."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

import coralsmith
from coralsmith import bundle_source, cli
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.errors import (
    DetectionHeadError,
    InputError,
    MalformedModelError,
    UnsupportedModelError,
    UsageError,
)
from coralsmith.graph.reader import parse_tflite, read_tflite
from coralsmith.graph.writer import write_tflite
from coralsmith.report.plain import to_document
from coralsmith.report.schemas import schemas
from tests.deploy.pixel_detector import (
    LABELS,
    SIDE,
    compiled_stand_in,
    pixel_graph,
    pixel_head,
    write_model,
    write_photos,
)
from tests.tiny_detector import write_tiny_detector

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


def bundled(model: Path, photos: Path, target: Any = "frigate", out: str = "bundle", **how: Any) -> Any:
    return coralsmith.bundle(model, target, model.parent / out, images=photos, **how)


def label_map(model: Path) -> list[str]:
    text = (model.parent / "bundle" / "pixels" / "labelmap.txt").read_text("utf-8")
    return [line.split(" ", 1)[1] for line in text.splitlines()]


class TestFiles:
    @pytest.mark.parametrize(
        ("target", "names"),
        [
            ("frigate", {"README.txt", "config.yml", "pixels/pixels_int8.tflite", "pixels/labelmap.txt"}),
            ("pycoral", {"README.txt", "detect.py", "pixels_int8.tflite", "labels.txt"}),
            ("plain", {"README.txt", "detect.py", "coral_detector.py", "pixels_int8.tflite", "head.json"}),
        ],
    )
    def test_of_each_target(self, tmp_path: Path, photos: Path, target: str, names: set[str]) -> None:
        report = bundled(write_model(tmp_path), photos, target)
        assert report.verdict == "pass" and report.detections > 0
        folder = tmp_path / "bundle"
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert present == {file.name for file in report.files} == names | {"bundle.json"}

    def test_the_model_has_metadata_and_is_otherwise_the_same(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path)
        bundled(model, photos)
        copy = tmp_path / "bundle" / "pixels" / "pixels_int8.tflite"
        assert model.read_bytes() in copy.read_bytes() or model.read_bytes()[8:] in copy.read_bytes()
        assert read_tflite(copy).facts.metadata == ("TFLITE_METADATA",)
        with zipfile.ZipFile(copy) as archive:
            assert archive.read("labels.txt").decode().split() == list(LABELS)

    def test_a_zip_is_the_same_every_time(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path)
        for name in ("a.zip", "b.zip"):
            bundled(model, photos, out=name)
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    def test_the_record_in_the_bundle_tells_what_was_checked_and_not_where(
        self, tmp_path: Path, photos: Path
    ) -> None:
        bundled(write_model(tmp_path), photos)
        text = (tmp_path / "bundle" / "bundle.json").read_text("utf-8")
        record = json.loads(text)
        assert record["verdict"] == "pass" and record["model"] == "pixels_int8.tflite"
        assert str(tmp_path) not in text

    def test_a_name_with_spaces_becomes_one_without(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path).rename(tmp_path / "my größe (1)_int8.tflite")
        report = bundled(model, photos)
        assert "my-gr-e-1/my-gr-e-1-_int8.tflite" in {file.name for file in report.files}


class TestLabels:
    """Label files of every habit; what Frigate reads is what the classes are called."""

    @pytest.mark.parametrize(
        ("content", "labels"),
        [
            (b"cat\n\n  \ndog\n\nowl\n\n", ["cat", "dog", "owl"]),
            (b"4 wheeler\n2 wheeler\n3 wheeler\n", ["4 wheeler", "2 wheeler", "3 wheeler"]),
            (b"0 cat\n\n1 dog\n2 owl\n", ["cat", "dog", "owl"]),
            (b"\xef\xbb\xbfcat\ndog\nowl\n", ["cat", "dog", "owl"]),
            (b"cat\r\ndog\r\nowl\r\n", ["cat", "dog", "owl"]),
            ("K\u00e4fer\n\u732b\nowl".encode(), ["Käfer", "猫", "owl"]),
            (b"yes\nno\nnull\n", ["yes", "no", "null"]),
        ],
        ids=["blank lines", "digits first", "numbered", "byte-order mark", "CRLF", "not ASCII", "YAML words"],
    )
    def test_of_every_habit(self, tmp_path: Path, photos: Path, content: bytes, labels: list[str]) -> None:
        model = write_model(tmp_path)
        (tmp_path / "mine.txt").write_bytes(content)
        report = bundled(model, photos, labels=tmp_path / "mine.txt")
        assert report.verdict == "pass"
        assert label_map(model) == labels

    @pytest.mark.parametrize("content", ["cat\ndog\n", "cat\ndog\nowl\nant\n"], ids=["fewer", "more"])
    def test_another_number_than_classes_is_an_error(self, tmp_path: Path, photos: Path, content: str) -> None:
        model = write_model(tmp_path)
        (tmp_path / "mine.txt").write_text(content)
        with pytest.raises(DetectionHeadError, match=r"has [24] labels, the model 3 classes"):
            bundled(model, photos, labels=tmp_path / "mine.txt")

    def test_names_that_occur_twice_are_told(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path)
        (tmp_path / "mine.txt").write_text("cat\ncat\nowl\n")
        report = bundled(model, photos, labels=tmp_path / "mine.txt")
        assert "duplicate-labels" in {finding.rule for finding in report.findings}

    def test_the_file_beside_the_model_names_classes_that_have_none(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path, head=pixel_head(labels=("class 0", "class 1", "class 2")))
        (tmp_path / "labels.txt").write_text("cat\ndog\nowl\n")
        bundled(model, photos)
        assert label_map(model) == ["cat", "dog", "owl"]

    def test_one_that_contradicts_the_head_is_told_and_not_taken(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path)
        (tmp_path / "labels.txt").write_text("cat\ndog\nowl\n")
        report = bundled(model, photos)
        assert label_map(model) == list(LABELS)
        assert "labels-differ" in {finding.rule for finding in report.findings}

    def test_a_model_without_head_file_has_numbers_for_names_and_that_is_told(
        self, tmp_path: Path, photos: Path
    ) -> None:
        model = write_model(tmp_path)
        (tmp_path / "head.json").unlink()
        report = bundled(model, photos)
        assert label_map(model) == ["class 0", "class 1", "class 2"]
        assert "no-class-names" in {finding.rule for finding in report.findings}


class TestHonesty:
    """Nothing is called compiled that is not, and nothing verified that was not tried."""

    def test_a_model_that_is_not_compiled_says_so(self, tmp_path: Path, photos: Path) -> None:
        report = bundled(write_model(tmp_path), photos)
        assert not report.compiled
        assert "not-compiled" in {finding.rule for finding in report.findings}

    def test_a_name_that_claims_more_than_the_file_holds_is_an_error(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path).rename(tmp_path / "pixels_int8_edgetpu.tflite")
        with pytest.raises(InputError, match="called compiled, but it holds no edgetpu-custom-op"):
            bundled(model, photos)

    def test_a_compiled_model_alone_is_bundled_unverified(self, tmp_path: Path, photos: Path) -> None:
        report = bundled(write_compiled(tmp_path, twin=False), photos)
        assert (report.compiled, report.verdict, report.images) == (True, "unverified", 0)
        assert "not-replayed" in {finding.rule for finding in report.findings}
        assert "is not beside it" in report.checks[-1].detail
        config = (tmp_path / "bundle" / "config.yml").read_text("utf-8")
        assert "type: edgetpu" in config and "pixels_int8_edgetpu.tflite" in config

    @pytest.mark.parametrize("verdict", ["mismatch", "unverified"])
    def test_an_int8_model_that_is_not_proved_to_be_its_source_is_not_run(
        self, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, verdict: str
    ) -> None:
        model = write_compiled(tmp_path, twin=True)
        monkeypatch.setattr(bundle_source, "verify", lambda *_: Proof(verdict))
        report = bundled(model, photos)
        assert report.verdict == "unverified" and f"verify: {verdict}" in report.checks[-1].detail

    def test_what_cannot_be_verified_at_all_is_no_source_either(self, tmp_path: Path, photos: Path) -> None:
        """The program of this stand-in has nothing to do with the int8 model, and the real `verify` sees that."""
        report = bundled(write_compiled(tmp_path, twin=True), photos)
        assert report.verdict == "unverified" and report.images == 0

    def test_the_proved_source_is_run_in_its_place(
        self, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = write_compiled(tmp_path, twin=True)
        monkeypatch.setattr(bundle_source, "verify", lambda *_: Proof("match"))
        report = bundled(model, photos)
        assert (report.compiled, report.verdict, report.images) == (True, "pass", 4)
        copy = parse_tflite((tmp_path / "bundle" / "pixels" / "pixels_int8_edgetpu.tflite").read_bytes())
        assert copy.ops[0].custom_options == read_tflite(model).ops[0].custom_options

    def test_a_source_with_other_outputs_is_not_run(
        self, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = write_compiled(tmp_path, twin=True)
        write_tflite(pixel_graph(), tmp_path / "pixels_int8.tflite")
        monkeypatch.setattr(bundle_source, "verify", lambda *_: Proof("match"))
        assert "other inputs or outputs" in bundled(model, photos).checks[-1].detail

    def test_photos_without_objects_prove_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "black").mkdir()
        Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(tmp_path / "black" / "0.png")
        report = bundled(write_model(tmp_path / "model"), tmp_path / "black")
        assert report.verdict == "unverified" and "proves nothing" in report.checks[-1].detail

    def test_photos_on_which_the_host_would_show_nothing_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "grey").mkdir()
        Image.fromarray(np.full((SIDE, SIDE, 3), 170, np.uint8)).save(tmp_path / "grey" / "0.png")
        report = bundled(write_model(tmp_path / "model"), tmp_path / "grey")
        assert (report.verdict, report.detections) == ("pass", 0)
        assert "nothing-shown" in {finding.rule for finding in report.findings}

    def test_what_would_be_misread_is_not_written(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path, head=pixel_head(labels=(":-)", "b", "c")))
        report = bundled(model, photos, "pycoral")
        assert (report.verdict, report.files) == ("fail", ())
        assert not (tmp_path / "bundle").exists()


class TestRefusals:
    def test_a_float_model(self, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(InputError, match="is a float model") as refusal:
            bundled(write_tiny_detector(tmp_path), photos)
        assert "coralsmith convert" in refusal.value.hint

    def test_a_missing_model(self, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            bundled(tmp_path / "none.tflite", photos)

    def test_what_is_no_model(self, tmp_path: Path, photos: Path) -> None:
        (tmp_path / "x.tflite").write_bytes(b"no model at all")
        with pytest.raises(MalformedModelError, match="not a TensorFlow Lite model"):
            bundled(tmp_path / "x.tflite", photos)

    def test_a_segment_of_a_pipeline(self, tmp_path: Path, photos: Path) -> None:
        model = write_compiled(tmp_path, twin=False).rename(tmp_path / "pixels_segment_0_of_2_edgetpu.tflite")
        with pytest.raises(UsageError, match="one segment of a pipeline"):
            bundled(model, photos)

    def test_raw_heads_for_frigate(self, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(UnsupportedModelError, match="raw boxes and scores"):
            bundled(write_model(tmp_path, pixel_graph()), photos)

    def test_raw_heads_without_a_head(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path, pixel_graph())
        (tmp_path / "head.json").unlink()
        with pytest.raises(DetectionHeadError) as refusal:
            bundled(model, photos, "plain")
        assert "coralsmith head" in refusal.value.hint

    @pytest.mark.parametrize(
        ("head", "words"),
        [
            (pixel_head(labels=("a", "b", "c", "d")), "4 labels, the model 3 classes"),
            (replace(pixel_head(), input=InputSpec((16, 16), 1 / 127.5, -1.0)), r"\[16, 16\] pixels"),
        ],
        ids=["classes", "size"],
    )
    def test_the_head_of_another_model(
        self, tmp_path: Path, photos: Path, head: DetectionHead, words: str
    ) -> None:
        with pytest.raises(DetectionHeadError, match=words) as refusal:
            bundled(write_model(tmp_path, head=head), photos)
        assert "--head" in refusal.value.hint

    def test_a_bundle_in_the_place_of_its_own_model(self, tmp_path: Path, photos: Path) -> None:
        model = write_model(tmp_path)
        before = model.read_bytes()
        with pytest.raises(UsageError, match="would be written over"):
            bundled(model, photos, "plain", out=".", force=True)
        assert model.read_bytes() == before

    def test_a_target_that_does_not_exist(self, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(UsageError, match="no bundle for 'yolo'"):
            bundled(write_model(tmp_path), photos, "yolo")

    def test_a_device_for_anyone_but_frigate(self, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(UsageError, match="Frigate only"):
            bundled(write_model(tmp_path), photos, "plain", device="pci")


class TestCommand:
    def run(self, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setattr(sys, "argv", ["coralsmith", "bundle", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    def test_json_is_one_document_of_the_schema(
        self, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = write_model(tmp_path)
        out = tmp_path / "frigate.zip"
        code = self.run(
            str(model),
            "--for",
            "frigate",
            "--out",
            str(out),
            "--images",
            str(photos),
            "--json",
            monkeypatch=monkeypatch,
        )
        document = json.loads(capsys.readouterr().out)
        assert code == 0 and document["schema"] == "coralsmith/bundle/1"
        Draft202012Validator(schemas()["bundle"]).validate(document)

    def test_what_would_be_misread_ends_with_1_and_says_why(
        self, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = write_model(tmp_path, head=pixel_head(labels=(":-)", "b", "c")))
        arguments = [str(model), "--for", "pycoral", "--out", str(tmp_path / "out"), "--images", str(photos)]
        assert self.run(*arguments, monkeypatch=monkeypatch) == 1
        said = capsys.readouterr().out
        assert "Not bundled: pycoral would misread this model" in said
        assert "class 0 is ':-)', read as '-)'" in " ".join(said.split())

    def test_the_summary_tells_checks_files_and_the_next_step(
        self, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = [
            str(write_model(tmp_path)),
            "--for",
            "frigate",
            "--out",
            str(tmp_path / "o"),
            "--images",
            str(photos),
        ]
        assert self.run(*arguments, monkeypatch=monkeypatch) == 0
        said = capsys.readouterr().out
        for words in ("Bundled for Frigate", "NOT compiled", "labelmap.txt", "README.txt in it tells the steps"):
            assert words in said


def test_the_report_is_a_document_of_its_schema(tmp_path: Path, photos: Path) -> None:
    report = bundled(write_compiled(tmp_path, twin=False), photos)
    Draft202012Validator(schemas()["bundle"]).validate(to_document(report))


@dataclass(frozen=True)
class Proof:
    """A stand-in for what `verify` says."""

    verdict: str


def write_compiled(folder: Path, *, twin: bool) -> Path:
    """A stand-in for a compiled model, with its head, and the int8 model beside it if asked."""
    write_model(folder)
    if not twin:
        (folder / "pixels_int8.tflite").unlink()
    write_tflite(compiled_stand_in(), folder / "pixels_int8_edgetpu.tflite")
    return folder / "pixels_int8_edgetpu.tflite"
