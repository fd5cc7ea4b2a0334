"""Bundles every detector of the folder `shared` for every target; see benchmarks/README.md.

python -m benchmarks.deploy
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import coralsmith
from benchmarks.quantize.__main__ import RESULTS, machine
from benchmarks.quantize.process import REPOSITORY
from benchmarks.quantize.table import print_table
from coralsmith.bundle_model import Target
from coralsmith.errors import CoralsmithError

COCO = ("data/coco_permissive_train/images", "data/coco_permissive_val/images")
BCCD = ("data/bccd/JPEGImages", "data/bccd/JPEGImages")
TARGETS: tuple[Target, ...] = get_args(Target)


@dataclass(frozen=True)
class Model:
    """One detector: its source, photos to calibrate with and photos to replay, and how it is converted."""

    name: str
    source: str
    photos: tuple[str, str]
    targets: tuple[Target, ...] = TARGETS
    labels: str | None = None
    postprocess: str = "op"
    io: str = "uint8"


MODELS = (
    Model("bccd_ssdlite", "bccd_ssdlite/bccd_ssdlite_float.tflite", BCCD, labels="bccd_ssdlite/labels.txt"),
    Model(
        "bccd_ssdlite, int8 input",
        "bccd_ssdlite/bccd_ssdlite_float.tflite",
        BCCD,
        labels="bccd_ssdlite/labels.txt",
        io="int8",
    ),
    Model("coco_ssdlite", "coco_ssdlite_mobilenet_v2/coco_ssdlite_frozen.pb", COCO),
    Model("ultralight_face", "ultralight_face/version-RFB-320.onnx", COCO),
    Model("ssd_mobilenet_v1, uint8 as published", "ssd_mobilenet_v1_coco_quant/model.tflite", COCO),
    Model("tf2_od_api, random weights", "tf2_od_api_ssd_mobilenet_v2_random/tflite_saved_model", COCO),
    Model(
        "bccd_ssdlite, raw heads", "bccd_ssdlite/bccd_ssdlite_float.tflite", BCCD, ("plain",), postprocess="none"
    ),
    Model(
        "ultralight_face, raw int8 heads",
        "ultralight_face/version-RFB-320.onnx",
        COCO,
        ("plain",),
        postprocess="none",
        io="int8",
    ),
)


def main() -> None:
    arguments = _arguments()
    facts = machine()
    print(f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}; load {facts['load']}")
    rows = [row for model in MODELS for row in _rows(model, arguments.shared.resolve(), arguments.work.resolve())]
    columns = ("model", "target", "verdict", "images", "detections", "rows", "seconds")
    print_table(
        "What a host reads of each model, beside coralsmith's own decoding of its raw heads",
        columns,
        [tuple(f"{row[column]}" for column in columns) for row in rows],
    )
    for row in rows:
        if row["verdict"] != "pass":
            print(f"{row['model']}, {row['target']}: {row['detail']}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "deploy.json").write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n", "utf-8")
    sys.exit(any(row["verdict"] == "fail" for row in rows))


def _rows(model: Model, shared: Path, work: Path) -> Iterator[dict[str, Any]]:
    models, (calibration, photos) = shared / "models", (shared / folder for folder in model.photos)
    folder = work / model.name.replace(", ", "_").replace(" ", "_")
    empty = {"model": model.name, "images": 0, "detections": 0, "rows": 0, "seconds": "", "detail": ""}
    try:
        coralsmith.convert(
            models / model.source,
            calibration,
            folder,
            labels=None if model.labels is None else models / model.labels,
            compiler="none",
            samples=48,
            postprocess=model.postprocess,
            io=model.io,
        )
        (int8,) = folder.glob("*_int8.tflite")
    except CoralsmithError as error:
        yield {**empty, "target": "-", "verdict": "not converted", "detail": error.message}
        return
    for target in model.targets:
        start = perf_counter()
        report = coralsmith.bundle(int8, target, folder / target, images=photos)
        yield {
            **empty,
            "target": target,
            "verdict": report.verdict,
            "images": report.images,
            "detections": report.detections,
            "rows": report.rows,
            "seconds": f"{perf_counter() - start:.1f}",
            "detail": "; ".join(check.detail for check in report.checks if check.verdict != "pass"),
        }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deploy", description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "deploy", help="scratch folder, kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
