"""The result of a check: the typed object that `coralsmith check --json` prints."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final

from coralsmith.edgetpu.activations import ActivationMemory
from coralsmith.edgetpu.latency import Latency
from coralsmith.edgetpu.memory import ParameterMemory
from coralsmith.edgetpu.rules import Target
from coralsmith.findings import Finding, has_errors

SCHEMA: Final = "coralsmith/check/1"

# The compiler claims success all the same.
_MAP_NOTHING: Final = frozenset({"nothing-mapped", "not-quantized"})


@dataclass(frozen=True)
class OpFate:
    """Where one operator will run.

    Attributes:
        index: Position in execution order.
        kind: Operator kind, "CONV_2D"; "CUSTOM" for custom operators.
        name: Name of its first output.
        target: "edgetpu", "cpu" or "unknown".
        status: The compiler's words for it where it has them.
        rule: The rule that keeps it off the Edge TPU or leaves it unknown; None where it is mapped.
        other_statuses: Other words that the compiler was seen to use for such an operator.
    """

    index: int
    kind: str
    name: str
    target: Target
    status: str
    rule: str | None
    other_statuses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AllPartitions:
    """What the compiler maps with `--enable_multiple_subgraphs` (-a): every Edge TPU partition.

    Attributes:
        asked: Whether the prediction of the report is the one for this; else it is for the first partition only.
        ops_edgetpu: Operators that would run on the Edge TPU.
        ops_cpu: Operators that would run on the CPU.
        ops_unknown: Operators of which that is not known.
        custom_operators: Edge TPU custom operators in the compiled model; None where unknown operators decide it.
        sizes: Operators of each Edge TPU partition in the order they run; unknown operators count as supported.
    """

    asked: bool
    ops_edgetpu: int
    ops_cpu: int
    ops_unknown: int
    custom_operators: int | None
    sizes: list[int]


@dataclass(frozen=True)
class CheckReport:
    """What the Edge TPU compiler will do with a model, as far as it is known.

    Attributes:
        schema: Name and version of this document.
        model: The model, as the user named it.
        ops_total: Number of operators.
        ops_edgetpu: Operators that will run on the Edge TPU.
        ops_cpu: Operators that will run on the CPU.
        ops_unknown: Operators of which that is not known.
        ops_stranded: Operators on the CPU that the Edge TPU would take, were it not for others.
        partitions: Edge TPU partitions of the graph; the compiler maps the first one only unless asked for all.
        all_partitions: What the compiler would map if asked for all.
        ops: Every operator, in execution order.
        parameters: Parameter memory of the operators on the Edge TPU.
        activations: Memory that the activations take on the fullest tile of the chip.
        latency_ms: Latency of one inference.
        findings: Errors first; an error means that the compiler would refuse the model or map nothing.
    """

    schema: str
    model: str
    ops_total: int
    ops_edgetpu: int
    ops_cpu: int
    ops_unknown: int
    ops_stranded: int
    partitions: int
    all_partitions: AllPartitions
    ops: list[OpFate]
    parameters: ParameterMemory
    activations: ActivationMemory
    latency_ms: Latency
    findings: list[Finding]

    @property
    def is_refused(self) -> bool:
        """Whether the compiler would refuse the model, or take it and map nothing."""
        return has_errors(self.findings)

    @property
    def maps_nothing(self) -> bool:
        """Whether nothing worse is found than that the compiler maps nothing of the model as it is."""
        errors = {finding.rule for finding in self.findings if finding.severity == "error"}
        return bool(errors) and errors <= _MAP_NOTHING

    def document(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return dataclasses.asdict(self)
