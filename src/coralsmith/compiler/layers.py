"""Which layers of the source model the compiler's words are about; it names kinds and counts, never layers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from coralsmith.compat.check import check_graph
from coralsmith.compiler.explain import explain_row
from coralsmith.compiler.log import CompileResult, OperationCount
from coralsmith.errors import CoralsmithError
from coralsmith.findings import Finding
from coralsmith.graph import schema
from coralsmith.graph.model import Graph, Op, Tensor

_NODE: Final = re.compile(r"Node number (\d{1,9}) \(")
_STRANDED: Final = "More than one subgraph is not supported"
_WEIGHTED: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_SHAPE_ARITHMETIC: Final = ("SHAPE", "FILL")
_BIAS_TOLERANCE: Final = 1e-6  # of the kernel's own check (tensorflow/lite/kernels/kernel_util.cc)
_MOST_NAMED: Final = 32

# Where the compiler names no layer, these are the ones to look at first, and no more than that.
_INFERRED: Final = {
    "bias-overflow": "the smallest bias scale of the model",
    "shape-mismatch": "one of the concatenations",
    "large-activations": "the largest activations of the model",
}


def explain_layers(result: CompileResult, source: Graph | None, on_cpu: Sequence[str] | None) -> list[Finding]:
    """The statuses of operators that stay on the CPU, each tied to its layer where that is certain.

    Args:
        result: What the compiler said.
        source: The model that went in; None where coralsmith cannot read it whole.
        on_cpu: Names of the operators that the compiled model keeps on the CPU; None where there is no such model.

    Returns:
        A finding for each layer; one for the whole row of the table where its layers are not known.
    """
    rows = [row for row in result.operations if not row.is_mapped]
    if source is None or not rows:
        return [explain_row(row) for row in rows]
    kept = None if on_cpu is None else set(on_cpu)
    waiting = [op for op in source.ops if kept is None or op.name in kept]
    stranded = _downstream(source, waiting) if on_cpu is not None else set()
    predicted = _predicted_statuses(source)
    findings: list[Finding] = []
    for row in sorted(rows, key=lambda row: row.status != _STRANDED):
        layers = _layers(row, rows, waiting, stranded, predicted)
        finding = explain_row(row)
        findings += [dataclasses.replace(finding, op=op.name, measured=row.kind) for op in layers] or [finding]
        waiting = [op for op in waiting if op not in layers]
    return findings


def locate_failures(findings: Sequence[Finding], said: str, source: Graph | None) -> list[Finding]:
    """Tie the causes of a failed run to the layers that they are about.

    Args:
        findings: From `explain_failure`.
        said: All that the compiler wrote.
        source: The model that went in.

    Returns:
        The findings, each once for every layer concerned, or as it was where none can be told.
    """
    if source is None:
        return list(findings)
    node = _NODE.search(said)
    index = int(node[1]) if node else len(source.ops)
    named = source.ops[index] if index < len(source.ops) else None
    return [tied for finding in findings for tied in _tie(finding, source, named)]


def _tie(finding: Finding, source: Graph, named: Op | None) -> Iterator[Finding]:
    locate = _LOCATORS.get(finding.rule)
    if locate is None:
        yield finding
        return
    layers = [named] if named is not None else list(locate(finding, source))[:_MOST_NAMED]
    measured = " version ".join(filter(None, (finding.op, finding.measured)))
    if named is None:
        measured = _INFERRED.get(finding.rule, measured)
    for op in layers:
        yield dataclasses.replace(finding, op=op.name, measured=measured or op.kind)
    if not layers:
        yield finding


def _layers(
    row: OperationCount,
    rows: Sequence[OperationCount],
    waiting: Sequence[Op],
    stranded: set[Op],
    predicted: dict[str, str],
) -> list[Op]:
    """The layers of one row, if there is only one way to choose them."""
    of_kind = [op for op in waiting if op.kind == row.kind]
    rivals = [other for other in rows if other.kind == row.kind and other is not row]
    if row.status == _STRANDED:
        choices = ([op for op in of_kind if op in stranded], of_kind if not rivals else [])
    else:
        choices = (of_kind, [op for op in of_kind if predicted.get(op.name) == row.status])
    return next((chosen for chosen in choices if len(chosen) == row.count), [])


def _downstream(source: Graph, on_cpu: Sequence[Op]) -> set[Op]:
    """Those of the operators on the CPU that depend on another one of them."""
    late: set[Tensor] = set()
    stranded: set[Op] = set()
    members = set(on_cpu)
    for op in source.ops:
        depends = any(tensor in late for tensor in op.inputs if tensor is not None)
        if depends and op in members:
            stranded.add(op)
        if depends or op in members:
            late.update(op.outputs)
    return stranded


def _predicted_statuses(source: Graph) -> dict[str, str]:
    try:
        return {fate.name: fate.status for fate in check_graph(source).ops if fate.target == "cpu"}
    except CoralsmithError:
        return {}


def _of_version(finding: Finding, source: Graph) -> Iterator[Op]:
    for op in source.ops:
        if op.kind == finding.op and str(op.version) == finding.measured:
            yield op


def _of_builtin(finding: Finding, source: Graph) -> Iterator[Op]:
    for op in source.ops:
        if str(schema.OPERATOR_CODES.get(op.kind)) == finding.measured:
            yield op


def _of_custom_code(finding: Finding, source: Graph) -> Iterator[Op]:
    return (op for op in source.ops if op.kind == "CUSTOM" and op.custom_code == finding.op)


def _dynamic(_: Finding, source: Graph) -> Iterator[Op]:
    for op in source.ops:
        is_open = any(-1 in (tensor.shape_signature or ()) for tensor in op.outputs)
        if is_open or op.kind in _SHAPE_ARITHMETIC:
            yield op


def _biases(source: Graph) -> Iterator[tuple[Op, Tensor]]:
    for op in source.ops:
        if op.kind in _WEIGHTED and len(op.inputs) > 2 and (bias := op.inputs[2]) is not None:
            yield op, bias


def _with_wrong_bias_type(_: Finding, source: Graph) -> Iterator[Op]:
    return (op for op, bias in _biases(source) if bias.dtype != np.int32)


def _with_wrong_bias_scale(_: Finding, source: Graph) -> Iterator[Op]:
    for op, bias in _biases(source):
        product = _product_scale(op)
        if product is None or bias.quant is None or product.size != bias.quant.scale.size:
            continue
        scale = bias.quant.scale.astype(np.float64)
        if np.any(np.abs(product - scale) > _BIAS_TOLERANCE * np.minimum(product, scale)):
            yield op


def _with_smallest_scale(_: Finding, source: Graph) -> Iterator[Op]:
    """The layer whose accumulator has the finest scale: its bias is the first not to fit into 32 bits."""
    scales = [
        (float(product.min()), op) for op, _ in _biases(source) if (product := _product_scale(op)) is not None
    ]
    if scales:
        yield min(scales, key=lambda one: one[0])[1]


def _product_scale(op: Op) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    data, weights = op.inputs[0], op.inputs[1]
    if data is None or weights is None or data.quant is None or weights.quant is None:
        return None
    return data.quant.scale.astype(np.float64) * weights.quant.scale.astype(np.float64)


def _concatenations(_: Finding, source: Graph) -> Iterator[Op]:
    return (op for op in source.ops if op.kind == "CONCATENATION")


def _largest_activation(_: Finding, source: Graph) -> Iterator[Op]:
    """The layer with most bytes going in and out."""
    if source.ops:
        yield max(source.ops, key=_activation_bytes)


def _activation_bytes(op: Op) -> int:
    tensors = [tensor for tensor in (*op.inputs, *op.outputs) if tensor is not None and not tensor.is_constant]
    return sum(tensor.elements * tensor.dtype.itemsize for tensor in tensors)


_LOCATORS: Final[dict[str, Callable[[Finding, Graph], Iterator[Op]]]] = {
    "operation-version": _of_version,
    "operator-too-new": _of_builtin,
    "unknown-custom-operator": _of_custom_code,
    "dynamic-shape": _dynamic,
    "bias-type": _with_wrong_bias_type,
    "bias-scale": _with_wrong_bias_scale,
    "bias-overflow": _with_smallest_scale,
    "shape-mismatch": _concatenations,
    "large-activations": _largest_activation,
    "operator-failed": _of_custom_code,
}
