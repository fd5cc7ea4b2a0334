"""Every format a detector comes in: does it detect the same, and does it map? See benchmarks/README.md.

python -m benchmarks.importers.detections [--only cells]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.importers.model_maker import Packed, pack

from benchmarks.quantize.__main__ import RESULTS, machine
from benchmarks.quantize.process import REPOSITORY
from benchmarks.quantize.table import print_table
from coralsmith import pipeline
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import NmsSpec
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.head_decoder import select_detections
from coralsmith.detection.images import load_rgb
from coralsmith.detection.nms import intersection_over_union
from coralsmith.detection.preprocess import resize_image
from coralsmith.graph.reader import read_tflite
from coralsmith.importers import samples
from coralsmith.recipe import load_recipe
from coralsmith.runtime.detector import Detector

PICTURES = 20
MOST_PHOTOS = 100
NMS = NmsSpec(iou=0.5, score=0.3, max_detections=100)
SAME_BOX = 0.99
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Family:
    """One trained network in all its forms.

    Attributes:
        name: Its name here and for `references`.
        reference: The file that the reference runs.
        folders: Folders of photos; those are used in which the reference finds most.
        size: Height and width of its input.
    """

    name: str
    reference: Path
    folders: tuple[Path, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """One form of a network: a row of the table."""

    family: str
    name: str
    path: Path
    choices: tuple[tuple[str, str], ...] = ()


def families(shared: Path, work: Path) -> dict[str, Family]:
    models, data = shared / "models", shared / "data"
    found = [
        Family("cells", models / "bccd_ssdlite/bccd_ssdlite.keras", (data / "bccd/JPEGImages",), (300, 300)),
        Family("cells-fp16", work / "cells_half.tflite", (data / "bccd/JPEGImages",), (300, 300)),
        Family(
            "coco",
            models / "coco_ssdlite_mobilenet_v2/coco_ssdlite_frozen.pb",
            (data / "coco_permissive_val/images",),
            (300, 300),
        ),
        Family(
            "faces",
            models / "ultralight_face/version-RFB-320.onnx",
            (data / "coco_permissive_val/images", data / "coco_permissive_train/images"),
            (240, 320),
        ),
    ]
    return {family.name: family for family in found}


def sources(shared: Path, work: Path) -> Iterator[Source]:
    """All forms; those that do not lie in the shared folder are made in the scratch folder once."""
    models = shared / "models"
    keras, faces = models / "bccd_ssdlite/bccd_ssdlite.keras", models / "ultralight_face"
    if not (work / "cells_half.tflite").is_file():
        _run("benchmarks.importers.tensorflow_sources", keras, work)
    if not (work / "cells.pth").is_file():
        _run("tests.importers.torch.make_sources", work, "cells")
    np.save(work / "cells_anchors.npy", np.load(keras.parent / "anchors.npy"))
    for name in ("float", "half"):
        _model_maker(work / f"cells_{name}.tflite", work / f"cells_model_maker_{name}.tflite", keras.parent)
    yield Source("cells", "Keras .keras", keras)
    yield Source("cells", "SavedModel", work / "cells_saved_model")
    yield Source("cells", ".tflite, float", models / "bccd_ssdlite/bccd_ssdlite_float.tflite")
    yield Source("cells", ".tflite, Model Maker, float", work / "cells_model_maker_float.tflite")
    yield Source("cells-fp16", ".tflite, Model Maker, fp16", work / "cells_model_maker_half.tflite")
    yield Source("cells", ".onnx, dynamo exporter", work / "cells_dynamo.onnx")
    yield Source("cells", ".onnx, TorchScript exporter", work / "cells_script.onnx")
    yield Source("cells", "PyTorch .pt2", work / "cells.pt2")
    cells_factory = ("factory", "tests.importers.torch.ported:blank_detector"), ("input_size", "300x300")
    yield Source("cells", "PyTorch .pth with a factory", work / "cells.pth", cells_factory)
    yield Source("coco", "TF1 frozen graph", models / "coco_ssdlite_mobilenet_v2/coco_ssdlite_frozen.pb")
    yield Source("faces", ".onnx that decodes itself", faces / "version-RFB-320.onnx")
    yield Source("faces", ".onnx with raw heads", faces / "version-RFB-320_without_postprocessing.onnx")
    yield Source("faces", ".tflite with raw heads", faces / "version-RFB-320_without_postprocessing.tflite")
    faces_factory = ("factory", "tests.importers.torch.ultralight:FaceDetector"), ("input_size", "240x320")
    yield Source("faces", "PyTorch .pth with a factory", faces / "version-RFB-320.pth", faces_factory)


def main() -> None:
    arguments = _arguments()
    shared, work = arguments.shared.resolve(), arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    pipeline.VERIFICATION_IMAGES = samples.MAX_SAMPLES = PICTURES  # type: ignore[misc]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    all_sources = list(sources(shared, work))
    known = families(shared, work)
    wanted = [name for name in known if arguments.only in (None, name)]
    seen = {name: look(known[name], work) for name in wanted}
    rows = []
    for source in all_sources:
        if source.family in wanted:
            rows.append(_kept(source, seen[source.family], work, arguments.again))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print_table(
        f"The same detections from every format ({PICTURES} photos, score >= {NMS.score}, IoU >= {SAME_BOX})",
        ("network", "source", "worst difference", "detections", "found again", "op = decode", "Edge TPU", "parts"),
        [
            (
                row["network"],
                row["source"],
                f"{row['worst_difference']:.1e}",
                str(row["detections"]),
                f"{row['found_again'] / max(row['detections'], 1):.1%}",
                "yes" if row["operator_agrees"] else "NO",
                f"{row['ops_edgetpu']} of {row['ops_total']}",
                str(row["partitions"]),
            )
            for row in rows
        ],
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "detections.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def _kept(source: Source, seen: Seen, work: Path, again: bool) -> dict[str, Any]:
    """A row, measured or taken from an earlier run that was stopped."""
    path = work / f"{source.family} {source.name.replace('/', ' ')}.json"
    if again or not path.is_file():
        path.write_text(json.dumps(measure(source, seen, work)))
    row: dict[str, Any] = json.loads(path.read_text())
    return row


def measure(source: Source, seen: Seen, work: Path) -> dict[str, Any]:
    """One row: the source is converted with the detection operator, and its float graph and head detect."""
    choices = {"postprocess": "op", "samples": PICTURES, "compiler": "none", **dict(source.choices)}
    out = work / "out" / f"{source.family} {source.name.replace('/', ' ')}"
    job = pipeline.Job(source.path, load_recipe(None, choices), seen.folder, out, resume=False, force=True)
    run = pipeline.Conversion(job)
    run.run()
    verification = run.imported.verification
    assert verification is not None
    head = choose_head(
        run.imported.graph,
        source.path,
        carried=run.imported.head,
        images=seen.pictures[: pipeline.RECOGNITION_IMAGES],
        hints=run.imported.hints,
    )
    detector = Detector(run.imported.graph, replace(head, nms=NMS))
    found = [detector.detect_resized(picture) for picture in seen.pictures]
    return {
        "network": source.family,
        "source": source.name,
        "reference": verification.reference,
        "worst_difference": verification.worst.relative,
        "detections": sum(map(len, seen.detections)),
        "found": sum(map(len, found)),
        "found_again": sum(_again(*pair) for pair in zip(seen.detections, found, strict=True)),
        "operator_agrees": "operator-disagrees" not in {finding.rule for finding in run.findings},
        "ops_edgetpu": run.check.ops_edgetpu,
        "ops_unknown": run.check.ops_unknown,
        "ops_total": run.check.ops_total,
        "partitions": run.check.partitions,
        "evidence": head.evidence,
    }


@dataclass(frozen=True)
class Seen:
    """Photos and what the reference detects in them; the folder holds links to them."""

    folder: Path
    pictures: list[Picture]
    detections: list[Detections]


def look(family: Family, work: Path) -> Seen:
    """The photos in which the family's reference finds most, and what it finds; the reference runs once."""
    paths = sorted(path for folder in family.folders for path in folder.glob("*.jpg"))[:MOST_PHOTOS]
    pictures = [resize_image(load_rgb(path), family.size) for path in paths]
    result = work / f"{family.name}_reference.npz"
    if not result.is_file():
        np.save(work / f"{family.name}_pictures.npy", np.stack(pictures))
        given = work / f"{family.name}_pictures.npy"
        _run("benchmarks.importers.references", family.name, family.reference, given, result)
    content = np.load(result)
    pairs = zip(content["boxes"], content["scores"], strict=True)
    detections = [select_detections(boxes, scores, NMS) for boxes, scores in pairs]
    chosen = sorted(range(len(paths)), key=lambda number: -len(detections[number]))[:PICTURES]
    folder = work / f"{family.name}_photos"
    folder.mkdir(exist_ok=True)
    for number in chosen:
        if not (folder / paths[number].name).is_symlink():
            (folder / paths[number].name).symlink_to(paths[number])
    return Seen(folder, [pictures[number] for number in chosen], [detections[number] for number in chosen])


def _again(expected: Detections, found: Detections) -> int:
    """How many of the expected detections are found with the same class and nearly the same box."""
    count = 0
    for box, label in zip(expected.boxes, expected.class_ids, strict=True):
        same = found.boxes[found.class_ids == label]
        count += bool(len(same)) and float(intersection_over_union(box, same.T).max()) >= SAME_BOX
    return count


def _model_maker(model: Path, target: Path, trained: Path) -> None:
    """The model with the metadata that MediaPipe's writers pack."""
    names = ["location" if tensor.shape[-1] == 4 else "score" for tensor in read_tflite(model).outputs]
    labels = (trained / "labels.txt").read_text("utf-8").split()
    packed = Packed(np.load(trained / "anchors.npy"), len(labels), labels, (names[0], names[1]))
    target.write_bytes(pack(model.read_bytes(), packed))


def _run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importers.detections", description=__doc__)
    parser.add_argument("--only", choices=["cells", "cells-fp16", "coco", "faces"], help="one network alone")
    parser.add_argument("--again", action="store_true", help="measure rows of an earlier, stopped run again")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "detections", help="scratch folder, kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
