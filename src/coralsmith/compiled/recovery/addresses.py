"""Chooses between readings of one file by the addresses beside the blocks of constants.

They show which operand an ADD loads first, and in which order the inputs of a CONCATENATION lie.

Source: 59 of the 65 ADD operators of published pairs read from where the operand that is multiplied by the first
ratio was written, the other 6 from neither (their maps are padded or cut into stripes), none from the other
operand; CONCATENATION: the five pairs that have one with equal shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from coralsmith.compiled.program import Program
from coralsmith.compiled.recovery.access import access_of
from coralsmith.compiled.recovery.assignment import Assignment
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.graph.model import Graph


def is_contradicted(graph: Graph, found: Assignment, segments: Sequence[Segment]) -> bool:
    """Whether the addresses say that operands were taken for each other.

    Args:
        graph: The skeleton.
        found: Which constants belong to which operator.
        segments: The compiled files.
    """
    if len(segments) > 1:
        return False  # not seen yet: addresses of two programs mean different memories
    program = segments[0].program
    return _swaps_operands(graph, found, program) or _swaps_inputs(graph, found, program)


def _swaps_operands(graph: Graph, found: Assignment, program: Program) -> bool:
    makers = graph.producers()
    for op, loaded in found.loads.items():
        blocks = [found.blocks.get(makers[tensor]) if tensor in makers else None for tensor in op.activations()]
        first, second = blocks if found.ratios[op] == loaded else blocks[::-1]
        if first is None or second is None or loaded[0] == loaded[1]:
            continue
        read = access_of(program, found.blocks[op]).read
        if read == access_of(program, second).written != access_of(program, first).written:
            return True
    return False


def _swaps_inputs(graph: Graph, found: Assignment, program: Program) -> bool:
    makers = graph.producers()
    for op in graph.ops:
        if op.kind != "CONCATENATION":
            continue
        inputs = [tensor for tensor in op.inputs if tensor is not None]
        if len({tensor.shape for tensor in inputs}) > 1:
            continue
        blocks = [
            found.rescalings.get((op, index)) or (found.blocks.get(makers[tensor]) if tensor in makers else None)
            for index, tensor in enumerate(inputs)
        ]
        written = [access_of(program, block).written for block in blocks if block is not None]
        if len(written) == len(inputs) and any(after < before for before, after in pairwise(written)):
            return True
    return False
