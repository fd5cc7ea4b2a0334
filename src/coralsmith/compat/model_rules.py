"""Rules about a model as a whole: what makes the compiler refuse it, and what is worth knowing beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from coralsmith.edgetpu.rules import rule, rule_book
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.operators import OPERATORS
from coralsmith.graph.schema import OPERATOR_CODES
from coralsmith.graph.versions import COMPILER_LIMITS

_EIGHT_BITS: Final = (np.dtype(np.int8), np.dtype(np.uint8))
_INDICES: Final = (np.dtype(np.int32), np.dtype(np.int64))
_WEIGHTED: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})

# Inputs from which an operator takes its output's shape: computed ones make the shape dynamic.
_SHAPE_ROLES: Final = frozenset(
    {"shape", "size", "sizes", "paddings", "output_shape", "begin", "end", "strides", "multiples", "dims", "axis",
     "permutation"}
)  # fmt: skip

# Operators whose kernels turn the bounds of their activation into integers when a model is loaded, and the bounds.
_BOUNDED_BY_INTEGERS: Final = frozenset({*_WEIGHTED, "ADD", "SUB", "MUL"})
_LARGEST_BOUND: Final = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}

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


def told_of(graph: Graph) -> set[Op]:
    """Operators of which a finding about the whole model tells already: it is refused because of them."""
    refused = {op for op in graph.ops if _is_unknown_custom(op) or _is_too_new(op) or _is_unreadable(op)}
    return refused | _shape_arithmetic(graph)


def _unknown_custom_operators(graph: Graph) -> Iterator[Finding]:
    for op in filter(_is_unknown_custom, graph.ops):
        yield rule("unknown-custom-operator").finding(op=op.name, measured=op.custom_code)


def _is_unknown_custom(op: Op) -> bool:
    return op.kind == "CUSTOM" and op.custom_code not in rule_book().known_custom_operators


def _too_new_operators(graph: Graph) -> Iterator[Finding]:
    for op in filter(_is_too_new, graph.ops):
        yield rule("operator-too-new").finding(op=op.name, measured=f"{op.kind} ({OPERATOR_CODES[op.kind]})")


def _is_too_new(op: Op) -> bool:
    return OPERATOR_CODES[op.kind] >= rule_book().first_unknown_builtin


def _dynamic_shapes(graph: Graph) -> Iterator[Finding]:
    dynamic = [op for op in graph.ops if any(not t.is_constant for t in _shape_inputs(op))]
    if dynamic:
        computing = len(_shape_arithmetic(graph)) - len(dynamic)
        measured = f"{len(dynamic)} operators, the first a {dynamic[0].kind}"
        yield rule("dynamic-shape").finding(
            op=dynamic[0].name, measured=f"{measured}; {computing} compute the shapes" if computing else measured
        )


def _shape_arithmetic(graph: Graph) -> set[Op]:
    """The operators that take a computed shape, and those that compute nothing but such shapes."""
    producers = graph.producers()
    found = {op for op in graph.ops if any(not tensor.is_constant for tensor in _shape_inputs(op))}
    waiting = [tensor for op in found for tensor in _shape_inputs(op)]
    while waiting:
        op = producers.get(waiting.pop())
        if op is not None and op not in found and all(tensor.dtype in _INDICES for tensor in op.outputs):
            found.add(op)
            waiting += [tensor for tensor in op.inputs if tensor is not None and tensor.dtype in _INDICES]
    return found


def _unused_operators(graph: Graph) -> Iterator[Finding]:
    needed = set(graph.outputs)
    unused: list[Op] = []
    for op in reversed(graph.ops):
        if any(tensor in needed for tensor in op.outputs):
            needed.update(tensor for tensor in op.inputs if tensor is not None)
        else:
            unused.append(op)
    if unused:
        yield rule("unused-operator").finding(
            op=unused[-1].name, measured=f"{len(unused)} of {len(graph.ops)}, the first a {unused[-1].kind}"
        )


def _overflowing_activations(graph: Graph) -> Iterator[Finding]:
    for op in graph.ops:
        activation = op.attributes.get("fused_activation_function", "NONE")
        bound = _LARGEST_BOUND.get(str(activation), 0.0) if op.kind in _BOUNDED_BY_INTEGERS else 0.0
        quant = op.output.quant if bound else None
        if quant is not None and np.rint(np.float32(bound) / quant.scale[0]) > np.iinfo(np.int32).max:
            yield rule("activation-overflow").finding(
                op=op.name, measured=f"{activation} at a scale of {quant.scale[0]:.2g}"
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
    for op in filter(_is_unreadable, graph.ops):
        yield rule("operation-version-unreadable").finding(
            op=op.name, measured=f"{op.kind} version {op.version}", evidence=COMPILER_LIMITS[op.kind].evidence
        )


def _is_unreadable(op: Op) -> bool:
    limit, facts = COMPILER_LIMITS.get(op.kind), rule_book().operators.get(op.kind)
    left_on_cpu = facts is not None and op.version in facts.cpu_versions
    return limit is not None and op.version is not None and op.version > limit.newest > 0 and not left_on_cpu


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
    _unused_operators,
)

_OF_A_FILE: Final[Sequence[Check]] = (
    _external_constants,
    _several_subgraphs,
    _old_operator_codes,
    _shape_signatures,
    _unreadable_versions,
    _biases,
    _overflowing_activations,
    _per_channel_dense,
)
