"""TensorFlow.js models through the whole import; every generation in `tfjs/test_graph_def.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.graph.executor import Executor
from coralsmith.graph.writer import serialize
from coralsmith.importers import import_model
from tests.importers.tfjs.test_graph_def import SIZE, computed, small_net
from tests.importers.tfjs.writer import fuse, write_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="needs coralsmith[tensorflow]")


def test_a_fused_net_becomes_plain_operators_with_the_outputs_of_its_signature(tf: Any, tmp_path: Path) -> None:
    path = write_model(fuse(small_net(tf, prelu=True)), tmp_path / "net", "3.x")
    signature = {"outputs": {"feature map": {"name": "map:0"}, "rows": {"name": "dense:0"}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"signature": signature}))
    imported = import_model(path, input_size=(SIZE, SIZE))
    assert [tensor.name for tensor in imported.graph.outputs] == ["feature map", "rows"]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU"} <= {op.kind for op in imported.graph.ops}
    assert imported.verification is not None
    assert imported.verification.worst.relative < 1e-5
    picture = np.random.default_rng(1).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    found = Executor(imported.graph).run(picture)
    for values, wanted in zip(found, computed(tf, small_net(tf, prelu=False)), strict=True):
        np.testing.assert_allclose(values, wanted, atol=1e-5 * np.ptp(wanted))


def test_a_detector_with_loops_gives_the_bytes_and_the_head_of_its_frozen_graph(
    tf: Any, sources: Path, tmp_path: Path, street_photos: list[np.ndarray]
) -> None:
    graph_def = tf.compat.v1.GraphDef.FromString((sources / "frozen.pb").read_bytes())
    folder = tmp_path / "web model"
    write_model(graph_def, folder, "1.x")
    from_web = import_model(folder, images=street_photos)
    frozen = import_model(sources / "frozen.pb", images=street_photos)
    assert serialize(from_web.graph) == serialize(frozen.graph)
    assert from_web.head is not None
    assert frozen.head is not None
    assert from_web.head.to_json() == frozen.head.to_json()
    assert from_web.verification == frozen.verification
    assert from_web.source.path == folder / "model.json"
