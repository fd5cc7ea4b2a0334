"""Runs one pass over a small graph, and checks what every exact pass must keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coralsmith.graph import Array, Attribute, Graph, Op, Tensor
from coralsmith.graph.executor import Executor, random_inputs, real_outputs
from coralsmith.repair import Change, Refusal, RepairPass
from tests.builders import CONVOLUTION, op, random_constant


def kinds(graph: Graph) -> list[str]:
    """The operators by kind, in execution order."""
    return [op.kind for op in graph.ops]


def raw_op(
    kind: str, inputs: Sequence[Tensor | None], name: str, shape: tuple[int, ...], **attributes: Attribute
) -> Op:
    """An operator whose output shape is given, for kinds without a shape rule."""
    first = next((tensor for tensor in inputs if tensor is not None and not tensor.is_constant), None)
    dtype: Any = np.float32 if first is None else first.dtype
    return Op(kind, list(inputs), [Tensor(name, shape, np.dtype(dtype))], dict(attributes))


def window_op(kind: str, source: Tensor, name: str, *, kernel: int = 3, **attributes: Attribute) -> Op:
    """A convolution (four filters), depthwise convolution or pooling with random weights and bias."""
    channels = source.shape[3]
    if kind.endswith("POOL_2D"):
        plain = {key: value for key, value in CONVOLUTION.items() if "dilation" not in key}
        sides: dict[str, Attribute] = {"filter_width": kernel, "filter_height": kernel}
        return op(kind, [source], name, **{**plain, **sides, **attributes})
    shape = (4, kernel, kernel, channels) if kind == "CONV_2D" else (1, kernel, kernel, channels)
    filters = 4 if kind == "CONV_2D" else channels
    inputs: list[Tensor | None] = [source, random_constant("weights", shape), random_constant("bias", (filters,))]
    return op(kind, inputs, name, **{**CONVOLUTION, **attributes})


def outputs(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The outputs as real numbers, by the interpreter's reference kernels."""
    executor = Executor(graph, reference_kernels=True)
    executor.invoke(*inputs)
    return real_outputs(executor)


def apply(repair_pass: RepairPass, graph: Graph) -> tuple[Graph, list[Change], list[Refusal]]:
    """The graph after one run of the pass, with its account; the graph given stays as it is."""
    result = graph.copy()
    outcomes = repair_pass.apply(result)
    result.verify(repair_pass.name)
    assert [tensor.name for tensor in result.outputs] == [tensor.name for tensor in graph.outputs]
    changes = [outcome for outcome in outcomes if isinstance(outcome, Change)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    return result, changes, refusals


def assert_same_function(before: Graph, after: Graph, spread: float = 3.0, tolerance: float = 1e-5) -> None:
    """Both graphs compute the same on noise wide enough to reach both sides of every activation."""
    generator = np.random.default_rng(3)
    for _ in range(2):
        inputs = [
            (array * spread).astype(array.dtype) if array.dtype.kind == "f" else array
            for array in random_inputs(before, generator)
        ]
        for expected, found in zip(outputs(before, inputs), outputs(after, inputs), strict=True):
            assert expected.shape == found.shape
            span = max(float(np.ptp(expected)), 1e-6)
            assert float(np.abs(expected - found).max()) <= tolerance * span


def applied(repair_pass: RepairPass, graph: Graph) -> Graph:
    """The graph after one run of an exact pass that must fire; checked to compute the same."""
    result, changes, _ = apply(repair_pass, graph)
    assert changes, f"{repair_pass.name} did not fire"
    assert_same_function(graph, result)
    return result


def refused(repair_pass: RepairPass, graph: Graph) -> list[str]:
    """The reasons of a pass that must not fire."""
    result, changes, refusals = apply(repair_pass, graph)
    assert not changes, f"{repair_pass.name} fired"
    assert kinds(result) == kinds(graph)
    return [refusal.reason for refusal in refusals]
