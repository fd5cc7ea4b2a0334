"""Holds a TensorFlow.js detector against its frozen graph in TensorFlow; see benchmarks/README.md.

python -m benchmarks.importers.tfjs FOLDER --frozen frozen_inference_graph.pb
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quantize.table import print_table
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.images import load_rgb
from coralsmith.detection.preprocess import resize_image
from coralsmith.graph.executor import Executor
from coralsmith.importers import Imported, import_model
from coralsmith.runtime.detector import Detector

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 0.3
SAME_BOX = 0.99
# Tensors of the TF Object Detection API, raw and decoded.
RAW = ("concat:0", "concat_1:0")
DECODED = ("Postprocessor/ExpandDims_1:0", "Postprocessor/Slice:0")


def main() -> None:
    arguments = _arguments()
    paths = sorted((arguments.shared / "data/coco_permissive_val").rglob("*.jpg"))[: arguments.images]
    photos = [load_rgb(path) for path in paths]
    imported = import_model(arguments.model, images=photos)
    assert imported.head is not None
    assert imported.verification is not None
    pixels = [resize_image(photo, imported.head.input.size) for photo in photos]
    raw, decoded = _run_frozen(arguments.frozen, pixels)
    print_table(
        f"Raw heads on {len(photos)} photos, beside the frozen graph in TensorFlow",
        ("output", "worst difference", "of its range"),
        _differences(imported, raw, pixels),
    )
    wanted, found = _found_again(imported, decoded, pixels)
    print_table(
        f"Detections of the frozen graph from a score of {SHOWN} on, found again in the imported model",
        ("photos", "detections", f"same class, overlap {SAME_BOX}", "share"),
        [(str(len(photos)), str(wanted), str(found), f"{found / wanted:.2%}")],
    )
    print(f"The import's own proof: {imported.verification.worst.relative:.1e} of the range at worst.")


def _run_frozen(path: Path, pixels: list[NDArray[np.uint8]]) -> tuple[list[Any], list[Any]]:
    """The raw heads and the decoded ones of each photo, by TensorFlow."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            runs = [session.run([*RAW, *DECODED], {"image_tensor:0": picture[None]}) for picture in pixels]
    return [run[:2] for run in runs], [run[2:] for run in runs]


def _differences(imported: Imported, raw: list[Any], pixels: list[NDArray[np.uint8]]) -> list[tuple[str, ...]]:
    head, executor = imported.head, Executor(imported.graph)
    assert head is not None
    names = [tensor.name for tensor in imported.graph.outputs]
    runs = [dict(zip(names, executor.run(head.input.normalise(picture)[None]), strict=True)) for picture in pixels]
    rows = []
    for position, name in enumerate((head.boxes, head.scores)):
        expected = np.stack([np.reshape(run[position], -1) for run in raw])
        found = np.stack([run[name].reshape(-1) for run in runs])
        worst, reach = float(np.abs(found - expected).max()), float(np.ptp(expected))
        rows.append((name, f"{worst:.1e}", f"{worst / reach:.1e}"))
    return rows


def _found_again(imported: Imported, decoded: list[Any], pixels: list[NDArray[np.uint8]]) -> tuple[int, int]:
    """How many detections the frozen graph has, and how many of them the imported model has too."""
    assert imported.head is not None
    detector = Detector(imported.graph, imported.head)
    wanted = found = 0
    for picture, (boxes, scores) in zip(pixels, decoded, strict=True):
        own = detector.detect_resized(picture)
        for class_id, box in _suppressed(
            boxes.reshape(-1, 4), scores.reshape(len(imported.head.anchors), -1), imported.head
        ):
            wanted += 1
            found += _holds(own, class_id, box)
    return wanted, found


def _suppressed(boxes: Any, scores: Any, head: DetectionHead) -> list[tuple[int, Any]]:
    """Class and box of what TensorFlow's own suppression leaves, class by class."""
    import tensorflow as tf

    kept = []
    for class_id, column in enumerate(scores.T):
        rows = tf.image.non_max_suppression(boxes, column, head.nms.max_detections, head.nms.iou, SHOWN)
        kept += [(class_id, boxes[row]) for row in rows.numpy()]
    return kept


def _holds(detections: Detections, class_id: int, box: Any) -> bool:
    candidates = detections.boxes[(detections.class_ids == class_id) & (detections.scores >= SHOWN - 1e-4)]
    inner = np.minimum(candidates[:, 2:], box[2:]) - np.maximum(candidates[:, :2], box[:2])
    shared = np.prod(np.maximum(inner, 0), axis=1)
    union = np.prod(candidates[:, 2:] - candidates[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - shared
    return bool((shared / union >= SAME_BOX).any())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("model", type=Path, help="model.json or its folder")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of real models and photos")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument(
        "--frozen", type=Path, default=shared / "models/coco_ssdlite_mobilenet_v2/coco_ssdlite_frozen.pb"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
