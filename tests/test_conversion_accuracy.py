"""Labelled images in a conversion: never calibrated with, measured in all forms, and a gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coralsmith
from coralsmith.accuracy_meter import LabelledImages
from coralsmith.errors import DetectionHeadError, ImageDataError, UsageError
from coralsmith.evaluation.dataset import Dataset
from coralsmith.quantization.quantizer import Quantized
from coralsmith.report.document import ConversionReport
from coralsmith.runtime.detector import Detector
from tests.evaluation.data_sets import annotated, write_image
from tests.test_evaluate_model import write_found
from tests.tiny_detector import tiny_detector, tiny_head, write_photos, write_tiny_detector


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def labelled(folder: Path, count: int) -> LabelledImages:
    images = []
    for number in range(count):
        write_image(folder / f"{number}.png", (60 + number, 80))
        images.append(annotated([[0, 0, 1, 1]], [0], name=str(folder / f"{number}.png")))
    return LabelledImages(folder, Dataset(images, ("cat",)))


def test_images_are_told_by_their_content_whatever_they_are_called(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", 2)
    photos = tmp_path / "photos"
    write_image(photos / "other.png", (50, 50))
    shutil.copy(data.dataset.images[1].path, photos / "renamed.png")
    kept, (finding,) = data.without(sorted(photos.iterdir()))
    assert [path.name for path in kept] == ["other.png"]
    assert (finding.rule, finding.measured) == ("evaluation-image-excluded", "1 of 2 images")


def test_images_of_the_same_size_in_bytes_but_another_content_stay(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", 1)
    path = data.dataset.images[0].path
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.png").write_bytes(bytes(changed))
    assert data.without([tmp_path / "changed.png"]) == ([tmp_path / "changed.png"], [])


def test_where_only_evaluation_images_are_given_it_is_an_error(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", 2)
    with pytest.raises(ImageDataError, match="All 2 images"):
        data.without([image.path for image in data.dataset.images])


class TestConversions:
    pytestmark = pytest.mark.slow

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        return write_found(tmp_path / "data", Detector(tiny_detector(), tiny_head()))

    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        """Two photos of the data set and three others."""
        photos = write_photos(tmp_path / "photos", 2)
        for number, photo in enumerate(sorted(write_photos(tmp_path / "others", 9).iterdir())[6:]):
            shutil.copy(photo, photos / f"other_{number}.png")
        return photos

    def convert(self, tmp_path: Path, photos: Path, data: Path | None, **choices: object) -> ConversionReport:
        model = write_tiny_detector(tmp_path / "model")
        return coralsmith.convert(
            model,
            photos,
            tmp_path / "out",
            dataset=data,
            compiler="none",
            **choices,  # type: ignore[arg-type]
        )

    def test_the_report_holds_the_ledger(self, tmp_path: Path, photos: Path, data: Path) -> None:
        report = self.convert(tmp_path, photos, data)
        assert report.accuracy is not None and report.accuracy.gate is None
        first, second = report.accuracy.ledger
        assert (first.form, second.form) == ("float", "int8")
        assert first.ap is not None and second.drop == pytest.approx(first.ap - (second.ap or 0))
        assert {loss.label for loss in report.accuracy.classes} == {"left", "right"}
        assert report.quantization.images == 3  # the two of the data set were left out
        rules = {finding.rule for finding in report.findings}
        assert {"evaluation-image-excluded", "one-class-per-box"} <= rules  # the objects were found within classes
        written = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
        assert written["accuracy"]["images"] == 6
        assert "Measure accuracy" in {stage.name for stage in report.stages}

    def test_a_gate_that_is_passed(self, tmp_path: Path, photos: Path, data: Path) -> None:
        report = self.convert(tmp_path, photos, data, max_ap_drop=1.0)
        assert report.accuracy is not None and report.accuracy.gate is not None
        assert report.accuracy.gate.passed and report.accuracy.gate.chosen == "plain"
        assert report.verdict.status == "int8-ready"

    def test_a_gate_that_is_not_passed_blocks_but_writes_the_model(
        self, tmp_path: Path, photos: Path, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from coralsmith import conversion_accuracy, rungs

        monkeypatch.setattr(conversion_accuracy, "LADDER", (rungs.PLAIN,))
        report = self.convert(tmp_path, photos, data, max_ap_drop=0.0, weights="per-tensor")
        assert report.accuracy is not None and report.accuracy.gate is not None
        if report.accuracy.gate.passed:
            pytest.fail("noise weights lose something in int8")
        assert report.verdict.status == "blocked" and "outside the accuracy limit" in report.verdict.title
        assert (tmp_path / "out" / "tiny_int8.tflite").exists()

    @pytest.mark.parametrize("resume", [True, False])
    def test_training_begins_with_what_the_cheaper_rungs_gave(
        self, tmp_path: Path, photos: Path, data: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
    ) -> None:
        pytest.importorskip("torch", reason="the last rung needs the extra [torch]")
        from coralsmith import conversion_accuracy, gate, rungs

        def never_content(by: Any, measure: Any, _: float, *arguments: Any, **more: Any) -> gate.Climb:
            return gate.climb(by, measure, -1.0, *arguments, **more)

        monkeypatch.setattr(conversion_accuracy, "climb", never_content)
        ran: list[str] = []

        def counted(quantize: Callable[..., Quantized]) -> Callable[..., Quantized]:
            def call(*arguments: object, **more: object) -> Quantized:
                ran.append(quantize.__name__)
                return quantize(*arguments, **more)

            return call

        for quantize in (rungs.quantize_graph, rungs.auto_quantize):
            monkeypatch.setattr(rungs, quantize.__name__, counted(quantize))
        photos = write_photos(tmp_path / "many", 16)
        report = self.convert(tmp_path, photos, data, max_ap_drop=0.0, tuning_epochs=1, resume=resume)
        assert report.accuracy is not None and report.accuracy.gate is not None
        assert [rung.name for rung in report.accuracy.gate.rungs] == ["plain", "corrected", "tuned"]
        assert all(rung.ap is not None for rung in report.accuracy.gate.rungs)
        assert ran == ["quantize_graph", "auto_quantize"]

    def test_a_limit_needs_a_data_set(self, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(UsageError, match="needs labelled images"):
            self.convert(tmp_path, photos, None, max_ap_drop=0.01)

    def test_strictness_needs_a_limit(self, tmp_path: Path, photos: Path, data: Path) -> None:
        with pytest.raises(UsageError, match="there is no limit"):
            self.convert(tmp_path, photos, data, strict=True)

    def test_a_quantized_source_has_nothing_to_lose_against(
        self, tmp_path: Path, photos: Path, data: Path
    ) -> None:
        self.convert(tmp_path, photos, None)
        int8 = tmp_path / "out" / "tiny_int8.tflite"
        with pytest.raises(UsageError, match="quantized already"):
            coralsmith.convert(int8, photos, tmp_path / "again", dataset=data, compiler="none", max_ap_drop=0.01)
        report = coralsmith.convert(int8, photos, tmp_path / "again", dataset=data, compiler="none")
        assert report.accuracy is not None and [row.form for row in report.accuracy.ledger] == ["int8"]

    def test_classes_that_do_not_fit_are_told_before_the_work(self, tmp_path: Path, photos: Path) -> None:
        data = write_found(tmp_path / "data", Detector(tiny_detector(), tiny_head()), "[cat, dog]")
        with pytest.raises(DetectionHeadError, match="boxes of 'cat'"):
            self.convert(tmp_path, photos, data)
