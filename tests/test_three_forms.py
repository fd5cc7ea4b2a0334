"""One trained detector, whichever format it comes in, becomes one and the same int8 model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import coralsmith
from tests.importers.model_maker import Packed, pack

EXPORT = (
    "import sys, keras; model = keras.models.load_model(sys.argv[1], compile=False); "
    "model.export(sys.argv[2], verbose=False)"
)


@pytest.mark.slow
def test_keras_saved_model_tflite_and_model_maker_give_the_same_int8_bytes(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="the Keras and SavedModel forms need the extra [tensorflow]")
    trained = shared / "models/bccd_ssdlite"
    keras_file = trained / "bccd_ssdlite.keras"
    saved = tmp_path / "bccd_ssdlite"
    subprocess.run([sys.executable, "-c", EXPORT, str(keras_file), str(saved)], check=True, capture_output=True)
    labels = (trained / "labels.txt").read_text().split()
    packed = Packed(np.load(trained / "anchors.npy"), len(labels), labels, ("score", "location"))
    plain = trained / "bccd_ssdlite_float.tflite"
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / plain.name).write_bytes(pack(plain.read_bytes(), packed))
    written = {}
    for name, source in (
        ("keras", keras_file),
        ("saved-model", saved),
        ("tflite", plain),
        ("model-maker", tmp_path / "packed" / plain.name),
    ):
        report = coralsmith.convert(
            source,
            shared / "data/bccd/JPEGImages",
            tmp_path / name,
            labels=trained / "labels.txt",
            compiler="none",
            samples=8,
        )
        assert report.check["ops_cpu"] == 3, "only the documented tail stays on the CPU"
        assert report.check["partitions"] == 1
        written[name] = (tmp_path / name / "bccd_ssdlite_int8.tflite").read_bytes()
    assert len(set(written.values())) == 1
