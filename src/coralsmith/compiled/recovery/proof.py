"""Proves a recovered model: compiled forward again it has every byte and constant of the files, and it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from coralsmith.compiled.recovery.recovery import Recovery
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.compiled.verification.report import LayerVerdict, OperatorVerdict, VerifyReport
from coralsmith.compiled.verification.verifying import verify_models
from coralsmith.errors import GraphInvariantError, NotProvedError
from coralsmith.graph.executor import Executor
from coralsmith.graph.model import Array, Tensor

_SEED: Final = 0

# As `compiled.verification.report.Difference` calls them.
_MULTIPLIERS: Final = frozenset({"multiplier", "multipliers"})
_CLAMPS: Final = frozenset({"clamp minimum", "clamp maximum"})


def prove(recovery: Recovery, segments: Sequence[Segment]) -> VerifyReport:
    """Hold a recovered model against the files it was read from, as `coralsmith verify` does, and run it once.

    Multipliers may be off by one float32 step, and clamps by their rounding noise, where no scales give all of
    them exactly; nothing else may differ. What the files hold for the CPU is not run: it is theirs, and may be an
    operator that only its author has.

    Args:
        recovery: The model.
        segments: The compiled files.

    Raises:
        NotProvedError: A layer or another operator with constants does not come out.
        UnsupportedModelError: The interpreter refuses the model.
    """
    rebuilt = recovery.rebuilt
    try:
        rebuilt.graph.verify("decompile")
    except GraphInvariantError as error:
        raise NotProvedError(f"The recovered model contradicts itself: {error.message}") from error
    files = [(segment.name, segment.model) for segment in segments]
    report = verify_models(rebuilt.graph, files, name="recovered model")
    near = _nearly_exact(recovery)
    judged: list[LayerVerdict | OperatorVerdict] = [*report.layers, *report.other_ops]
    for entry in judged:
        wrong = {difference.what for difference in entry.differences} - near.get(entry.name, frozenset())
        if entry.status != "exact" and (wrong or not entry.differences):
            raise NotProvedError(
                "The recovered model does not come out to the bit when it is compiled forward again: "
                f"{entry.kind} '{entry.name}', {entry.reason}"
            )
    Executor(rebuilt.chip, threads=1).run(*(_noise(tensor) for tensor in rebuilt.chip.inputs))
    return report


def _nearly_exact(recovery: Recovery) -> dict[str, frozenset[str]]:
    """By name of an operator, the constants of it that come out only nearly."""
    found: dict[str, frozenset[str]] = {}
    for op, twin in recovery.rebuilt.twins.items():
        off = recovery.rebuilt.off.get(op)
        names = _CLAMPS if recovery.numbers.node[op.output] in recovery.solved.inexact_clamps else frozenset()
        if off is not None and off.any() and off.max() <= 1:
            names |= _MULTIPLIERS
        found[twin.name] = names
    return found


def _noise(tensor: Tensor) -> Array:
    """Any input of a tensor's shape and type."""
    random = np.random.default_rng(_SEED)
    if tensor.is_float:
        return random.random(tensor.shape, np.float32).astype(tensor.dtype)
    return random.integers(0, 256, tensor.shape).astype(np.uint8).view(tensor.dtype).reshape(tensor.shape)
