from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.importers.framework_exchange import Facts, Request, read_samples, write_samples
from coralsmith.importers.samples import Samples


@pytest.mark.parametrize("size", [None, (300, 320)])
def test_a_request_and_its_pictures_arrive_as_they_were_sent(tmp_path: Path, size: tuple[int, int] | None) -> None:
    request = Request("keras", "/a folder/détecteur.keras", True, size, "serving_default")
    pictures = tuple(np.full((i + 2, 5, 3), i, np.uint8) for i in range(12))
    received, arrived = Request.read(request.write(tmp_path, pictures))
    assert received == request
    assert all(np.array_equal(a, b) for a, b in zip(pictures, arrived, strict=True))


def test_a_request_may_have_no_pictures(tmp_path: Path) -> None:
    assert Request.read(Request("keras", "x").write(tmp_path, ())) == (Request("keras", "x"), [])


def test_samples_arrive_whatever_the_outputs_are_called(tmp_path: Path) -> None:
    names = ["boxes", "a/b:0", "with space;and more", "inputs"]
    outputs = {name: np.full((2, 1, 3), i, np.float32) for i, name in enumerate(names)}
    samples = Samples(np.zeros((2, 1, 4)), outputs, {"boxes": np.ones((2, 3, 4))})
    write_samples(samples, tmp_path)
    arrived = read_samples(tmp_path)
    assert list(arrived.outputs) == names
    assert all(np.array_equal(arrived.outputs[name], outputs[name]) for name in names)
    assert list(arrived.detections) == ["boxes"]


def test_facts_arrive_as_they_were_sent(tmp_path: Path) -> None:
    facts = Facts({"tensorflow": "2.21.0"}, {"Identity": "boxes"}, {"boxes": "concat"}, ["cut"], {"labels": ["a"]})
    facts.write(tmp_path)
    assert Facts.read(tmp_path) == facts
