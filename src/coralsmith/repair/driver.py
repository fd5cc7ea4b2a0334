"""Runs the repairs over a graph, and keeps of each pass only what the interpreter proves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.repair.add_n import SplitAddN
from coralsmith.repair.advice import advise, unprovable
from coralsmith.repair.dilation import RestoreDilation
from coralsmith.repair.division import DivideByMultiplying
from coralsmith.repair.fold_constants import FoldConstants
from coralsmith.repair.fully_connected import FlattenFullyConnected
from coralsmith.repair.fuse_activation import FuseActivation, UnfusePoolActivation
from coralsmith.repair.gelu import ApproximateGelu, ExpandGelu
from coralsmith.repair.grouped_convolution import SplitGroups
from coralsmith.repair.hard_swish import ExpandHardSwish
from coralsmith.repair.leaky_relu import ReplaceLeakyRelu
from coralsmith.repair.lower_rank import LowerRank
from coralsmith.repair.padding import FoldPadding
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.samples import Difference, Samples
from coralsmith.repair.scale_shift import AdvanceOffset, DeferFactor, FoldIntoProducer, FoldIntoReaders
from coralsmith.repair.simplify_movement import SimplifyMovement
from coralsmith.repair.sink_transpose import SinkTranspose
from coralsmith.repair.static_batch import StaticBatch
from coralsmith.repair.swap_activation import SwapActivation
from coralsmith.repair.unused import RemoveUnused, drop_outputs
from coralsmith.repair.workbench import Workbench

Mode = Literal["exact", "approx", "off"]


@dataclass(frozen=True)
class RepairResult:
    """A repaired graph and the account of it.

    Attributes:
        graph: The new graph; the one given is untouched.
        changes: What was changed, in order, each with its numerical proof.
        refused: What passes looked at in the final graph and left alone, with the reason.
        findings: What the user should know.
        difference: Outputs of the final graph against those of the given one; None where nothing was run.
    """

    graph: Graph
    changes: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    difference: Difference | None = None


def repair(
    graph: Graph,
    mode: Mode = "exact",
    *,
    inputs: Sequence[Sequence[Array]] | None = None,
    min_runtime: int = 14,
    used_outputs: Collection[str] | None = None,
) -> RepairResult:
    """Rewrite what the Edge TPU cannot run into what it can, as far as that is possible.

    Args:
        graph: Any valid graph; it is not changed. Most repairs need a float graph.
        mode: "exact" keeps what the model computes; "approx" also swaps activations; "off" does nothing.
        inputs: A few inputs of the model for the proofs, one array per graph input each; noise where not given.
        min_runtime: Oldest Edge TPU runtime that the model shall run on.
        used_outputs: Names of the graph outputs that are needed; the others go. None keeps all.

    Returns:
        The new graph and the account of every change.

    Raises:
        UsageError: `used_outputs` names an output that the graph does not have.
        UnsupportedModelError: The size of an input is not known.
    """
    if mode == "off":
        return RepairResult(graph.copy())
    samples = Samples.of(graph, inputs)
    working = graph.copy()
    dropped = [] if used_outputs is None else drop_outputs(working, frozenset(used_outputs))
    try:
        bench = Workbench(working, samples)
    except UnsupportedModelError as error:
        return RepairResult(graph.copy(), findings=[unprovable(error.message)])
    approximate = approximate_passes(samples)
    exact = exact_passes(samples, min_runtime)
    if mode == "approx":
        bench.run([*cleaning_passes(), *approximate, *exact])
    else:
        bench.run([*cleaning_passes(), *exact])
        bench.refuse(approximate, "only with --repair approx")
    changes = [*dropped, *bench.changes]
    findings = [*bench.findings, *advise(bench.graph, changes)]
    return RepairResult(bench.graph, changes, bench.refused, findings, bench.total_difference())


def cleaning_passes() -> list[RepairPass]:
    """What comes first, because it uncovers the patterns of the others."""
    return [StaticBatch(), RemoveUnused(), FoldConstants()]


def approximate_passes(samples: Samples) -> list[RepairPass]:
    """What changes the results; ahead of the exact passes, which would leave nothing to swap."""
    return [ApproximateGelu(), SwapActivation(samples)]


def exact_passes(samples: Samples, min_runtime: int) -> list[RepairPass]:
    """What keeps the results; every pass may meet the work of any other again in the next round."""
    return [
        SplitAddN(),
        SimplifyMovement(),
        SinkTranspose(),
        LowerRank(),
        FlattenFullyConnected(),
        RestoreDilation(),
        SplitGroups(),
        FoldPadding(),
        UnfusePoolActivation(),
        DivideByMultiplying(),
        ExpandHardSwish(),
        ExpandGelu(),
        ReplaceLeakyRelu(samples, min_runtime),
        DeferFactor(),
        AdvanceOffset(),
        FoldIntoProducer(),
        FoldIntoReaders(),
        FuseActivation(),
    ]
