from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.head import BoxCoder
from coralsmith.errors import DetectionHeadError
from coralsmith.importers.frozen_graph_decoder import probe_decoder, probe_probabilities
from coralsmith.importers.frozen_graph_structure import Heads
from tests.importers.test_frozen_graph_structure import DETECTOR, graph_of

HEADS = Heads("n9", "n11", "n20", ("n15", "n17"))


class NumpySession:
    """Runs the decoder of the test graph in numpy: 'n18' decodes 'n9', the other nodes hold something else."""

    def __init__(
        self, anchors: np.ndarray, coder: BoxCoder, scores: np.ndarray | None = None, drop: int | None = None
    ):
        self.anchors, self.coder, self.drop = anchors, coder, drop
        self.scores = np.zeros((1, len(anchors), 3), np.float32) if scores is None else scores

    def decode(self, raw):
        return decode_boxes(raw, self.anchors, self.coder)

    def run(self, tensors, feeds):
        raw = feeds.get("n9", np.zeros((1, len(self.anchors), 1, 4), np.float32))
        values = {
            "n9": raw,
            "n11": self.scores,
            "n20": self.scores,
            "n18": self.decode(raw.reshape(-1, 4)),
            "n21": self.scores if self.drop is None else np.delete(self.scores, self.drop, axis=2),
        }
        return [values[tensor] for tensor in tensors]

    def try_run(self, tensor, feeds):
        return self.run([tensor], feeds)[0] if tensor in ("n18", "n20", "n21") else None


def some_anchors(seed: int, count: int = 50) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres, sizes = generator.uniform(0, 1, (count, 2)), generator.uniform(0.02, 0.9, (count, 2))
    return np.concatenate([centres, sizes], axis=1).astype(np.float32)


@given(
    seed=st.integers(0, 99),
    order=st.sampled_from(["yxhw", "xywh"]),
    centre=st.sampled_from([1.0, 8.0, 10.0, 12.5]),
    size=st.sampled_from([1.0, 4.0, 5.0, 7.5]),
)
def test_any_centre_size_coder_is_solved_from_its_answers(seed: int, order, centre: float, size: float) -> None:
    anchors, coder = some_anchors(seed), BoxCoder(order, (centre, centre, size, size))
    found = probe_decoder(NumpySession(anchors, coder), graph_of(DETECTOR), HEADS, {})
    assert (found.boxes, found.order, found.scales) == ("n18", order, coder.scales)
    np.testing.assert_allclose(found.anchors, anchors, atol=1e-6)


def test_a_decoder_of_another_kind_is_refused() -> None:
    class Squaring(NumpySession):
        def decode(self, raw):
            return super().decode(raw) + 0.01 * raw**2

    with pytest.raises(DetectionHeadError, match="not decoded from centre and size"):
        probe_decoder(Squaring(some_anchors(0), BoxCoder()), graph_of(DETECTOR), HEADS, {})


@pytest.mark.parametrize("column", [0, 2, None])
def test_the_background_is_the_column_that_the_graph_drops(column: int | None) -> None:
    scores = np.random.default_rng(1).standard_normal((1, 50, 3)).astype(np.float32)
    graph = graph_of({**DETECTOR, "n21": ("Slice", ["n20"])})
    session = NumpySession(some_anchors(0), BoxCoder(), scores, column)
    found = probe_probabilities(session, graph, HEADS, {})
    assert found.background == column
    assert found.tensor == ("n20" if column is None else "n21")
