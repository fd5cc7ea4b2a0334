"""Rules about a model as a whole: what makes the compiler refuse it, and what is worth knowing beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from coralsmith.edgetpu.memory import flattened_remainder
from coralsmith.edgetpu.rules import rule, rule_book
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.operators import OPERATORS
from coralsmith.graph.versions import COMPILER_LIMITS

_EIGHT_BITS: Final = (np.dtype(np.int8), np.dtype(np.uint8))
_WEIGHTED: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})

# Inputs from which an operator takes its output's shape: computed ones make the shape dynamic.
_SHAPE_ROLES: Final = frozenset(
    {"shape", "size", "sizes", "paddings", "output_shape", "begin", "end", "strides", "multiples", "dims", "axis",
     "permutation"}
)  # fmt: skip

# TFLite compared scales to one part in a million (tensorflow/tensorflow #30173).
_SCALE_TOLERANCE: Final = 1e-6


def computes_in_float(graph: Graph) -> bool:
    """Whether no operator puts out quantized 8-bit values: a float model, or one with 8-bit weights only."""
    outputs = [tensor for op in graph.ops for tensor in op.outputs]
    quantized = any(tensor.dtype in _EIGHT_BITS and tensor.quant is not None for tensor in outputs)
    return bool(outputs) and not quantized


def model_findings(graph: Graph, *, as_file: bool) -> list[Finding]:
    """What is to be said of the whole model.

    Args:
        graph: A verified graph.
        as_file: Whether the compiler will get the file as it is; else it will be quantized and written anew, and
            only what survives that counts.
    """
    checks = (*_OF_ANY_MODEL, *_OF_A_FILE) if as_file else _OF_ANY_MODEL
    return [finding for check in checks for finding in check(graph)]


def _unknown_custom_operators(graph: Graph) -> Iterator[Finding]:
    for op in graph.ops:
        if op.kind == "CUSTOM" and op.custom_code not in rule_book().known_custom_operators:
            yield rule("unknown-custom-operator").finding(op=op.name, measured=op.custom_code)


def _too_new_operators(graph: Graph) -> Iterator[Finding]:
    from coralsmith.graph.schema import OPERATOR_CODES

    for op in graph.ops:
        code = OPERATOR_CODES[op.kind]
        if code >= rule_book().first_unknown_builtin:
            yield rule("operator-too-new").finding(op=op.name, measured=f"{op.kind} ({code})")


def _dynamic_shapes(graph: Graph) -> Iterator[Finding]:
    dynamic = [op for op in graph.ops if any(not t.is_constant for t in _shape_inputs(op))]
    if dynamic:
        yield rule("dynamic-shape").finding(
            op=dynamic[0].name, measured=f"{len(dynamic)} operators, the first a {dynamic[0].kind}"
        )


def _shape_inputs(op: Op) -> Iterator[Tensor]:
    names = OPERATORS[op.kind].inputs if op.kind in OPERATORS else ()
    for name, tensor in zip(names, op.inputs, strict=False):
        if name in _SHAPE_ROLES and tensor is not None:
            yield tensor


def _padding_before_add(graph: Graph) -> Iterator[Finding]:
    readers = graph.consumers()
    for op in graph.ops:
        if op.kind == "PAD" and any(reader.kind == "ADD" for reader in readers.get(op.output, [])):
            yield rule("pad-before-add").finding(op=op.name)


def _costly_flattens(graph: Graph) -> Iterator[Finding]:
    for op in graph.ops:
        remainder = flattened_remainder(op)
        if remainder is not None:
            yield rule("reshape-blow-up").finding(op=op.name, measured=f"{remainder} innermost")


def _external_constants(graph: Graph) -> Iterator[Finding]:
    if graph.facts.external_constants:
        yield rule("external-constants").finding(measured=str(graph.facts.external_constants))


def _several_subgraphs(graph: Graph) -> Iterator[Finding]:
    if graph.facts.subgraphs > 1:
        yield rule("several-subgraphs").finding(measured=str(graph.facts.subgraphs))


def _old_operator_codes(graph: Graph) -> Iterator[Finding]:
    if graph.facts.old_code_missing:
        yield rule("old-operator-code").finding(measured=", ".join(graph.facts.old_code_missing))


def _shape_signatures(graph: Graph) -> Iterator[Finding]:
    for tensor in graph.inputs:
        if tensor.shape_signature is not None:
            free_image = -1 in tensor.shape_signature[1:]
            yield rule("free-image-size" if free_image else "shape-signature").finding(
                tensor=tensor.name, measured=str(list(tensor.shape_signature))
            )


def _unreadable_versions(graph: Graph) -> Iterator[Finding]:
    for op in graph.ops:
        limit, facts = COMPILER_LIMITS.get(op.kind), rule_book().operators.get(op.kind)
        left_on_cpu = facts is not None and op.version in facts.cpu_versions
        if limit is not None and op.version is not None and op.version > limit.newest > 0 and not left_on_cpu:
            yield rule("operation-version-unreadable").finding(
                op=op.name, measured=f"{op.kind} version {op.version}", evidence=limit.evidence
            )


def _biases(graph: Graph) -> Iterator[Finding]:
    for op in graph.ops:
        bias = op.input("bias") if op.kind in _WEIGHTED else None
        if bias is None or op.output.dtype not in _EIGHT_BITS:
            continue
        if bias.dtype != np.int32:
            yield rule("bias-type").finding(op=op.name, tensor=bias.name, measured=bias.dtype.name)
        elif (difference := _scale_difference(op, bias)) > _SCALE_TOLERANCE:
            yield rule("bias-scale").finding(
                op=op.name, tensor=bias.name, measured=f"relative difference {difference:.2g}"
            )


def _scale_difference(op: Op, bias: Tensor) -> float:
    """Largest relative difference of the bias scales from input scale times filter scales; 0 where not given."""
    source, weights = op.required_input("input").quant, op.required_input("filter").quant
    if bias.quant is None or source is None or weights is None:
        return 0.0
    if bias.quant.scale.size not in (1, weights.scale.size):
        return 0.0
    product = source.scale.astype(np.float64)[0] * weights.scale.astype(np.float64)
    smaller = np.minimum(product, bias.quant.scale)
    return float(np.max(np.abs(product - bias.quant.scale) / np.where(smaller > 0, smaller, 1.0)))


def _per_channel_dense(graph: Graph) -> Iterator[Finding]:
    for op in graph.ops:
        weights = op.input("filter") if op.kind == "FULLY_CONNECTED" else None
        if weights is not None and weights.quant is not None and weights.quant.is_per_channel:
            yield rule("per-channel-dense").finding(op=op.name, measured=f"{weights.quant.scale.size} scales")


Check = Callable[[Graph], Iterator[Finding]]

_OF_ANY_MODEL: Final[Sequence[Check]] = (
    _unknown_custom_operators,
    _too_new_operators,
    _dynamic_shapes,
    _padding_before_add,
    _costly_flattens,
)

_OF_A_FILE: Final[Sequence[Check]] = (
    _external_constants,
    _several_subgraphs,
    _old_operator_codes,
    _shape_signatures,
    _unreadable_versions,
    _biases,
    _per_channel_dense,
)
