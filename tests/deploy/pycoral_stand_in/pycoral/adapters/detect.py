from __future__ import annotations

from typing import Any, NamedTuple

from pycoral.adapters import common


class Object(NamedTuple):
    id: int
    score: float
    bbox: tuple[int, ...]


def get_objects(interpreter: Any, score_threshold: float, image_scale: tuple[float, float]) -> list[Object]:
    """All rows of the outputs, as the newest version reads them: the count is not asked."""
    boxes, classes, scores = (common.output_tensor(interpreter, number)[0] for number in range(3))
    width, height = common.input_size(interpreter)
    sx, sy = width / image_scale[0], height / image_scale[1]
    return [
        Object(int(classes[i]), float(scores[i]), tuple(int(v) for v in (x0 * sx, y0 * sy, x1 * sx, y1 * sy)))
        for i, (y0, x0, y1, x1) in enumerate(boxes)
        if scores[i] >= score_threshold
    ]
