"""Writes small ONNX models, and compares their graph with what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs coralsmith[onnx]")
pytest.importorskip("onnxruntime", reason="needs coralsmith[onnx]")
pytest.importorskip("onnxslim", reason="needs coralsmith[onnx]")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from coralsmith.graph import Graph  # noqa: E402
from coralsmith.graph.executor import Executor  # noqa: E402
from coralsmith.importers.onnx import loading  # noqa: E402, F401 - for tests
from coralsmith.importers.onnx.child import as_stored  # noqa: E402
from coralsmith.importers.onnx.cleaning import cleaned  # noqa: E402
from coralsmith.importers.onnx.image_input import fix_image_input  # noqa: E402
from coralsmith.importers.onnx.operators import TRANSLATORS  # noqa: E402, F401 - for tests
from coralsmith.importers.onnx.session import run_source  # noqa: E402
from coralsmith.importers.onnx.translation import translate  # noqa: E402

IMAGE = (1, 3, 8, 10)
CLOSE = 1e-5


def node(kind: str, inputs: Sequence[str], output: str | Sequence[str] = "y", **attributes: Any) -> Any:
    """One node; its name is that of its operator and its output."""
    outputs = [output] if isinstance(output, str) else list(output)
    return helper.make_node(kind, list(inputs), outputs, name=f"{kind} {outputs[0]}", **attributes)


def noise(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def model(
    nodes: Sequence[Any],
    constants: dict[str, Any] | None = None,
    *,
    opset: int = 18,
    shape: Sequence[int | str | None] = IMAGE,
    outputs: Sequence[str] = ("y",),
    dtype: int = TensorProto.FLOAT,
) -> Any:
    """A model of one image `x`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", dtype, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def compared(
    source: Any, *, size: tuple[int, int] | None = None, low: float = -3.0, high: float = 3.0, clean: bool = True
) -> Graph:
    """The graph of a model as it is; it and the graph of the cleaned model compute what onnxruntime does.

    Args:
        source: ModelProto.
        size: Height and width where it leaves them open.
        low: Least value of the noise it is fed.
        high: Greatest one.
        clean: Whether the cleaned model is tried too; without it takes half the time.
    """
    image = fix_image_input(source, size)
    inputs = noise(2, *image.stored_shape, low=low, high=high)
    if image.dtype == np.uint8:
        inputs = ((inputs + 3) * 42).astype(np.uint8)
    expected = run_source(source.SerializeToString(), image, inputs)
    graph, orders = translate(source, image)
    require_equal(graph, inputs, as_stored(expected, orders))
    if clean:
        slim, notes = cleaned(source)
        assert "left" in notes, notes
        slim_graph, orders = translate(slim, image)
        require_equal(slim_graph, inputs, as_stored(expected, orders))
    return graph


def require_equal(graph: Graph, inputs: np.ndarray, expected: dict[str, np.ndarray]) -> None:
    graph.verify("the test")
    executor = Executor(graph)
    for picture, stored in enumerate(inputs):
        for tensor, found in zip(graph.outputs, executor.run(stored), strict=True):
            wanted = expected[tensor.name][picture]
            assert found.shape == wanted.shape
            scale = max(float(np.ptp(wanted)), 1.0)
            assert float(np.abs(found - wanted).max()) <= CLOSE * scale


def one(kind: str, constants: dict[str, Any] | None = None, **settings: Any) -> Graph:
    """The graph of a single node that reads the image and the constants."""
    options = {name: settings.pop(name) for name in ("opset", "shape", "dtype") if name in settings}
    bounds = {name: settings.pop(name) for name in ("low", "high", "clean") if name in settings}
    return compared(model([node(kind, ["x", *(constants or {})], **settings)], constants, **options), **bounds)


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]
