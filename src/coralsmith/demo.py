"""The whole road on a small detector and images that come with coralsmith."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from coralsmith.api import drawn_views, encode_jpeg, finish
from coralsmith.detection.draw import side_by_side
from coralsmith.job import Job
from coralsmith.pipeline import Conversion
from coralsmith.progress import SILENT, Progress
from coralsmith.recipe import Recipe
from coralsmith.report.document import ConversionReport

ASSETS: Final = "demo_assets"
MODEL: Final = "reef_ssdlite.tflite"
PICTURES: Final = "detections"


def run_demo(out: Path, progress: Progress = SILENT) -> ConversionReport:
    """Convert the reef detector with its own images, and draw what its float and its int8 form find.

    Args:
        out: Output folder of the conversion; the pictures go into its folder ``detections``.
        progress: Told about every step.
    """
    with as_file(files("coralsmith") / ASSETS) as assets:
        run = Conversion(Job(assets / MODEL, Recipe(), images=assets / "images", out=out), progress)
        run.run()
    for name, reference, quantized in drawn_views(run):
        assert reference is not None, "the demo model is float"
        sheet = side_by_side(reference, quantized, ("float", "int8"))
        run.folder.write(f"{PICTURES}/{Path(name).stem}.jpg", encode_jpeg(sheet))
    return finish(run)
