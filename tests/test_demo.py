"""The demo: the whole road on what comes with coralsmith."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from coralsmith.demo import run_demo

pytestmark = pytest.mark.slow


def test_the_demo_converts_its_detector_and_draws_both_forms_side_by_side(tmp_path: Path) -> None:
    report = run_demo(tmp_path / "demo")
    assert report.verdict.status in ("int8-ready", "compiled")
    assert report.check["ops_cpu"] == 3
    assert report.check["partitions"] == 1
    pictures = sorted((tmp_path / "demo" / "detections").glob("*.jpg"))
    assert len(pictures) == 6
    with Image.open(pictures[0]) as picture:
        assert picture.width > 1.5 * picture.height


def test_the_int8_demo_finds_nearly_all_that_the_float_demo_finds(tmp_path: Path) -> None:
    agreement = run_demo(tmp_path / "demo").agreement
    assert agreement is not None
    assert agreement.float_detections > 24
    assert agreement.matched >= 0.9 * agreement.float_detections
