"""What a conversion calls its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from coralsmith.job import Job
from coralsmith.recipe import Recipe


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("detector.keras", "detector"),
        ("detector_float.tflite", "detector"),
        ("my.detector.onnx", "my.detector"),
        ("exported", "exported"),
        ("exported/saved_model", "exported"),
        ("exported/saved_model/saved_model.pb", "exported"),
        ("web_model/model.json", "web_model"),
        ("_float.tflite", "model"),
    ],
)
def test_files_are_called_after_the_source_or_the_folder_of_a_nameless_one(source: str, name: str) -> None:
    assert Job(Path(source), Recipe()).name == name
