"""COCO average precision of the detector on drawn scenes."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from detector import SIZE, detect, make_anchors
from draw_scenes import LABELS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scene_set import SceneSet


def score(boxes: np.ndarray, logits: np.ndarray, scenes: SceneSet) -> dict[str, float]:
    """COCO average precision by pycocotools, on the square images.

    Args:
        boxes: Encoded boxes, [images, anchors, 4].
        logits: Class logits, [images, anchors, classes].
        scenes: The truth.

    Returns:
        ``ap`` (IoU .50:.95), ``ap50``, ``ap75``, and ``ap`` of each class under its name.
    """
    truth, found = coco_truth(scenes), []
    anchors = make_anchors()
    for image, (encoded, scores) in enumerate(zip(boxes, logits, strict=True), start=1):
        for box, label, certainty in detect(encoded, scores, anchors):
            found.append({"image_id": image, "category_id": label + 1, "bbox": coco_box(box), "score": certainty})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # [IoU, recall, class]: all areas, 100 detections
    by_class = {name: round(float(precision[:, :, i].mean()), 4) for i, name in enumerate(LABELS)}
    ap, ap50, ap75 = (round(float(value), 4) for value in evaluation.stats[:3])
    return {"ap": ap, "ap50": ap50, "ap75": ap75, **by_class}


def coco_truth(scenes: SceneSet) -> dict[str, list[dict[str, object]]]:
    """The scenes' boxes as a COCO data set."""
    annotations = [
        {"image_id": image, "category_id": int(label) + 1, "bbox": coco_box(box), "iscrowd": 0}
        for image, (boxes, labels) in enumerate(zip(scenes.boxes, scenes.labels, strict=True), start=1)
        for box, label in zip(boxes, labels, strict=True)
    ]
    for number, annotation in enumerate(annotations, start=1):
        width, height = annotation["bbox"][2:]
        annotation |= {"id": number, "area": width * height}
    images = [{"id": i, "width": SIZE, "height": SIZE} for i in range(1, len(scenes.images) + 1)]
    categories = [{"id": i, "name": name} for i, name in enumerate(LABELS, start=1)]
    return {"info": [], "images": images, "annotations": annotations, "categories": categories}


def coco_box(box: np.ndarray) -> list[float]:
    """(ymin, xmin, ymax, xmax) in 0..1 as COCO's (x, y, width, height) in pixels."""
    y0, x0, y1, x1 = (box.astype(float) * SIZE).tolist()
    return [x0, y0, x1 - x0, y1 - y0]
