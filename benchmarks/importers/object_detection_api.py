"""Measures how faithfully exports of the TF Object Detection API are read; see benchmarks/README.md.

python -m benchmarks.importers.object_detection_api
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from numpy.typing import NDArray
from tests.importers import make_api_exports

from benchmarks.quantize.__main__ import RESULTS, machine
from benchmarks.quantize.table import print_table
from coralsmith.compat.check import check_graph
from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.detection.images import find_images, load_rgb
from coralsmith.detection.nms import intersection_over_union
from coralsmith.detection.preprocess import resize_image
from coralsmith.graph.executor import Executor
from coralsmith.importers import import_model
from coralsmith.repair.driver import repair

PHOTOS = 20
SAME_BOX = 0.99
_ROUNDING = 1e-6
Pixels = NDArray[np.uint8]
Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One source: worst differences in parts of the range, detections found again, predicted operators.

    Detections are not counted where all scores of the source are the same but for rounding: chance decides then.
    """

    source: str
    boxes: float | None
    scores: float | None
    least_score: float
    detections: int
    found: int
    operators: int
    on_device: int
    partitions: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, default=Path("benchmarks/results/object_detection_api"))
    arguments = parser.parse_args()
    models: Path = arguments.shared / "models"
    work: Path = arguments.work.resolve()
    if not (work / "coco").is_dir():
        frozen = models / "coco_ssdlite_mobilenet_v2" / "coco_ssdlite_frozen.pb"
        command = [sys.executable, make_api_exports.__file__, str(work), "320", str(frozen.resolve())]
        subprocess.run(command, check=True, capture_output=True)
    photos = [load_rgb(path) for path in find_images(arguments.shared / "data" / "coco_permissive_val")[:PHOTOS]]
    random = models / "tf2_od_api_ssd_mobilenet_v2_random"
    rows = [
        measure("SSD MobileNetV2 300 (random), inference", random / "saved_model", photos, least_score=0.0),
        measure("SSD MobileNetV2 300 (random), tflite", random / "tflite_saved_model", photos, least_score=0.0),
        measure("COCO SSDLite 300 (trained), inference", work / "coco" / "saved_model", photos),
        measure("FPNLite 320 (random), inference", work / "pyramid" / "saved_model", photos),
        measure("FPNLite 320 (random), tflite", work / "pyramid" / "tflite" / "saved_model", photos),
    ]
    print_table(
        f"Exports of the TF Object Detection API on {PHOTOS} photos",
        ("source", "boxes", "scores", "score from", "detections", "found again", "on Edge TPU", "partitions"),
        [
            (
                row.source,
                "-" if row.boxes is None else f"{row.boxes:.1e}",
                "-" if row.scores is None else f"{row.scores:.1e}",
                f"{row.least_score:g}",
                str(row.detections),
                f"{100 * row.found / row.detections:.2f} %" if row.detections else "-",
                f"{row.on_device} of {row.operators}",
                str(row.partitions),
            )
            for row in rows
        ],
    )
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    (RESULTS / "object_detection_api.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def measure(name: str, path: Path, photos: list[Pixels], least_score: float = 0.3) -> Row:
    """The Graph and the recovered head beside what TensorFlow, or LiteRT's operator, makes of the same pixels."""
    imported = import_model(path, images=photos[:4])
    head = choose_head(imported.graph, path, carried=imported.head)
    pixels = [resize_image(photo, head.input.size) for photo in photos]
    signature = _signature(path)
    per_class = "raw_detection_boxes" in signature.structured_outputs
    run = _by_tensorflow(signature) if per_class else _by_litert(path, head)
    executor = Executor(imported.graph)
    worst: dict[str, list[float]] = {"boxes": [], "scores": []}
    detections = found = 0
    for image in pixels:
        theirs, reference = run(image)
        values = executor.run(head.input.normalise(image[None]))
        outputs = {tensor.name: value[0] for tensor, value in zip(imported.graph.outputs, values, strict=True)}
        if per_class:
            for part, difference in _differences(outputs, head, reference).items():
                worst[part].append(difference)
        if np.ptp(theirs.scores) < _ROUNDING:
            continue
        ours = decode_detections(outputs[head.boxes], outputs[head.scores], head, per_class=per_class)
        detections += len(theirs.at_least(least_score))
        found += _found_again(theirs.at_least(least_score), ours.clipped() if per_class else ours)
    report = check_graph(repair(imported.graph).graph, model=name, as_if_quantized=True)
    return Row(
        name,
        max(worst["boxes"], default=None),
        max(worst["scores"], default=None),
        least_score,
        detections,
        found,
        report.ops_total,
        report.ops_edgetpu,
        report.partitions,
    )


def _signature(path: Path) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    signature.owner = loaded  # the variables live as long as this does
    return signature


def _by_tensorflow(signature: Any) -> Callable[[Pixels], tuple[Detections, Outputs]]:
    """The export's own detections, and its boxes and scores before suppression."""
    import tensorflow as tf

    (argument,) = signature.structured_input_signature[1]

    def run(image: Pixels) -> tuple[Detections, Outputs]:
        results = signature(**{argument: tf.constant(image[None])})
        values = {name: np.asarray(tensor)[0] for name, tensor in results.items()}
        count = int(values["num_detections"])
        rows = (
            values["detection_boxes"],
            values["detection_classes"].astype(np.int64) - 1,
            values["detection_scores"],
        )
        boxes, classes, scores = (row[:count] for row in rows)
        return Detections(boxes, classes, scores), values

    return run


def _by_litert(path: Path, head: DetectionHead) -> Callable[[Pixels], tuple[Detections, Outputs]]:
    """What LiteRT's own operator detects, in the file that TensorFlow's converter makes of the export."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
    converter.allow_custom_ops = True
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()

    def run(image: Pixels) -> tuple[Detections, Outputs]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], head.input.normalise(image[None]))
        interpreter.invoke()
        outputs = [interpreter.get_tensor(detail["index"])[0] for detail in interpreter.get_output_details()]
        boxes = next(output for output in outputs if output.ndim == 2)
        count = int(next(output for output in outputs if output.ndim == 0))
        one, other = (output for output in outputs if output.ndim == 1)
        classes, scores = (one, other) if (one == one.round()).all() else (other, one)
        found = Detections(boxes[:count], classes[:count].astype(np.int64), scores[:count])
        return found, {}

    return run


def _differences(outputs: Outputs, head: DetectionHead, reference: Outputs) -> dict[str, float]:
    boxes = decode_boxes(outputs[head.boxes], head.anchors, head.box_coder)
    scores = class_probabilities(outputs[head.scores], head.score)
    expected = reference["raw_detection_scores"]
    expected = np.delete(expected, 0, axis=1) if expected.shape[1] > scores.shape[1] else expected
    return {
        "boxes": _relative(boxes, reference["raw_detection_boxes"]),
        "scores": _relative(scores, expected),
    }


def _relative(found: NDArray[Any], expected: NDArray[Any]) -> float:
    span = max(float(np.ptp(expected)), 1e-3 * float(np.abs(expected).max()))
    return float(np.abs(found - expected).max()) / span


def _found_again(theirs: Detections, ours: Detections) -> int:
    """How many detections are there again: the same class, and all but the same box."""
    found = 0
    for box, label in zip(theirs.boxes, theirs.class_ids, strict=True):
        rivals = ours.boxes[ours.class_ids == label]
        found += bool(len(rivals)) and bool(intersection_over_union(box, rivals.T).max() >= SAME_BOX)
    return found


if __name__ == "__main__":
    main()
