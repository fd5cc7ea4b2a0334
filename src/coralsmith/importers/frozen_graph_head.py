"""The detection head of a TensorFlow 1 graph as a `head.json` document, and where it comes from."""

from __future__ import annotations

from typing import Any, Final

from numpy.typing import NDArray

from coralsmith.detection.head_document import SCHEMA
from coralsmith.importers.frozen_graph_entry import Entry, Normalisation

# The TF Object Detection API leaves normalisation to the caller where the input is float; this is MobileNet's.
_ASSUMED: Final = Normalisation((0.007843137,) * 3, (-1.0,) * 3)
_NUMBERED: Final = "category ids: inferred, the TF Object Detection API counts from 1"


def api_head(
    entry: Entry,
    *,
    anchors: NDArray[Any],
    box_coder: dict[str, Any],
    scores: dict[str, Any],
    nms: dict[str, Any],
    classes: int,
    evidence: list[str],
) -> dict[str, Any]:
    """The document of a head by the conventions of the TF Object Detection API, whose class ids count from 1."""
    ids = list(range(1, classes + 1))
    normalisation = _ASSUMED if entry.normalisation.is_identity else entry.normalisation
    return {
        "schema": SCHEMA,
        "input": {
            "size": list(entry.shape[1:3]),
            **normalisation.to_input_fields(),
            "resize": "letterbox" if entry.pads else "stretch",
        },
        "outputs": {"boxes": "boxes", "scores": "scores"},
        "anchors": anchors.astype("float32").tolist(),
        "box_coder": box_coder,
        "scores": scores,
        "nms": nms,
        "labels": [f"class {number}" for number in ids],
        "category_ids": ids,
        "evidence": "; ".join([*evidence, _input_evidence(entry), _NUMBERED]),
    }


def _input_evidence(entry: Entry) -> str:
    """Where the normalisation of a head comes from."""
    if entry.normalisation.is_identity:
        return "normalisation: assumed to be MobileNet's, since the graph takes normalised input"
    return "normalisation: measured with plain pictures through the graph's own pre-processing"
