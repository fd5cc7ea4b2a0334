"""The result of a decompilation: the typed object that `coralsmith decompile --json` prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from coralsmith.compiled.recovery.spatial import SpatialEvidence
from coralsmith.findings import Finding

SCHEMA: Final = "coralsmith/decompile/1"

ScaleOrigin = Literal["read", "free"]
OperatorSource = Literal["parameters", "instructions", "topology", "file"]


@dataclass(frozen=True)
class RecoveredTensor:
    """The numbers of what an operator writes.

    Attributes:
        scale: Real value of one step.
        zero_point: Exact, in the model's own integer type.
        origin: How the scale is known: "read" from the compiled file, or "free": any other scale gives the same
            integers, and this one is chosen by rule.
    """

    scale: float
    zero_point: int
    origin: ScaleOrigin


@dataclass(frozen=True)
class RecoveredOperator:
    """One operator of the recovered model.

    Attributes:
        kind: Operator kind, "CONV_2D".
        name: Name of its first output.
        source: Where it is from: "parameters" (weights, exact), "instructions" (constants, exact), "topology" (it
            has no numbers of its own) or "file" (it ran on the CPU and stood in the compiled file as it is).
        file: The compiled file that holds its parameters; None where it has none.
        offset: Where they start among those of the file; None where it has none.
        bytes: How many bytes they are; 0 where it has none.
        tap_order: How the order of taps and channels in its parameters was decided; empty where it has none.
        lost_taps: Taps of its kernel that the compiler dropped because they only see padding; they are zero now.
        multipliers: How many multipliers it has: one, or one for each output channel; 0 for none.
        multipliers_off: How many of them come out one float32 step beside the one that was read.
        output: Numbers of what it writes; None for an operator of the file.
    """

    kind: str
    name: str
    source: OperatorSource
    file: str | None
    offset: int | None
    bytes: int
    tap_order: str
    lost_taps: int
    multipliers: int
    multipliers_off: int
    output: RecoveredTensor | None


@dataclass(frozen=True)
class Decompilation:
    """A runnable model that was read out of compiled files.

    Attributes:
        schema: Name and version of this document.
        compiled: Names of the compiled files, in the order in which they run.
        output: The file that was written.
        bytes: Its size.
        topology: What the files were read with: the name of a known topology, or the model given with --like.
        topologies_tried: How many topologies were held against the files.
        layers: Layers with weights; the weights, biases and zero points of all of them are exact.
        parameter_bytes: Bytes of parameters in the compiled files.
        layer_bytes: Those of them that are the parameters of layers; the compiler added the rest.
        scales_free: Sets of tensors with one scale whose scale is a free choice.
        scales_total: All of them.
        spatial: What speaks for the strides, paddings and windows of the topology, which no parameter shows.
        operators: Every operator, in execution order.
        findings: What is worth knowing about the result.
    """

    schema: str
    compiled: list[str]
    output: Path
    bytes: int
    topology: str
    topologies_tried: int
    layers: int
    parameter_bytes: int
    layer_bytes: int
    scales_free: int
    scales_total: int
    spatial: SpatialEvidence
    operators: list[RecoveredOperator]
    findings: list[Finding]
