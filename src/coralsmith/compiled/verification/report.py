"""The result of a verification: the typed object that `coralsmith verify --json` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from coralsmith.findings import Finding

SCHEMA: Final = "coralsmith/verify/1"

ORDER: Final = "order"
"""What differs where a layer has the right parameters at the wrong point of the program."""

Verdict = Literal["match", "mismatch", "unverified"]
Status = Literal["exact", "mismatch", "unverified"]


@dataclass(frozen=True)
class Difference:
    """One value that the compiled file has otherwise than the source.

    Attributes:
        what: weights, bias, multipliers, "weight zero point", "padding", "size", "order", or a constant of the
            program: multiplier, clamps, bias, "output zero point", "input zero point", "weight zero point".
        expected: The value that follows from the source.
        found: The value in the compiled file.
        count: How many values of this sort differ.
        channel: Output channel of the first one, where it has one.
        tap: Row and column of the kernel of the first one, where it has them.
        input_channel: Input channel of the first one, where it has one.
    """

    what: str
    expected: str
    found: str
    count: int = 1
    channel: int | None = None
    tap: tuple[int, int] | None = None
    input_channel: int | None = None


@dataclass(frozen=True)
class LayerVerdict:
    """What was found of one layer: an operator with weights.

    Attributes:
        index: Position in the source, in execution order.
        kind: Operator kind, "CONV_2D".
        name: Name of its first output.
        status: exact, mismatch or unverified.
        reason: Why, in words.
        file: The compiled file that holds it; None where it was not found.
        program: The program whose parameters hold it: PARAMETER_CACHING (cached), EXECUTION_ONLY (streamed) or
            STAND_ALONE; "cpu" for a layer that stayed there; None where it was not found.
        offset: Where its parameters start among those of the program.
        bytes: How many bytes they are.
        bundle: The first bundle of the instructions that holds its constants; None where none was found.
        differences: What differs; the first of each sort.
    """

    index: int
    kind: str
    name: str
    status: Status
    reason: str
    file: str | None
    program: str | None
    offset: int | None
    bytes: int | None
    bundle: int | None
    differences: list[Difference]


@dataclass(frozen=True)
class OperatorVerdict:
    """What was found of an operator without weights whose constants follow a known rule.

    Attributes:
        index: Position in the source, in execution order.
        kind: Operator kind, "ADD".
        name: Name of its first output.
        status: exact, mismatch or unverified.
        reason: Why, in words.
        bundle: The first bundle of the instructions that holds its constants; None where none was found.
        differences: What differs.
    """

    index: int
    kind: str
    name: str
    status: Status
    reason: str
    bundle: int | None
    differences: list[Difference]


@dataclass(frozen=True)
class Remainder:
    """Parameters that belong to no layer.

    Attributes:
        offset: Where they start among those of the program.
        bytes: How many bytes they are.
        what: What they are; "unexplained" where that is not known.
    """

    offset: int
    bytes: int
    what: str


@dataclass(frozen=True)
class ParameterAccount:
    """Where the parameters of one program come from, to the byte.

    Attributes:
        file: The compiled file.
        program: PARAMETER_CACHING (cached), EXECUTION_ONLY (streamed) or STAND_ALONE.
        bytes: All parameters of the program.
        layers: Layers of the source among them.
        layer_bytes: Bytes of those layers.
        remainders: The other bytes.
    """

    file: str
    program: str
    bytes: int
    layers: int
    layer_bytes: int
    remainders: list[Remainder]


@dataclass(frozen=True)
class VerifyReport:
    """Whether compiled files were made from a source, layer by layer.

    Attributes:
        schema: Name and version of this document.
        source: The source model, as the user named it.
        compiled: The compiled files, as the user named them.
        verdict: match, mismatch or unverified.
        text: The verdict in plain words: what sort of difference there is.
        layers_total: Layers of the source.
        layers_exact: Those found to the bit.
        layers_mismatched: Those that differ.
        layers_unverified: Those of which neither is proved.
        layers: Every layer, in execution order.
        other_ops: Every operator without weights that a known rule applies to, in execution order.
        parameters: The account of every program that brings parameters along.
        findings: Errors first: what differs, what could not be verified.
    """

    schema: str
    source: str
    compiled: list[str]
    verdict: Verdict
    text: str
    layers_total: int
    layers_exact: int
    layers_mismatched: int
    layers_unverified: int
    layers: list[LayerVerdict]
    other_ops: list[OperatorVerdict]
    parameters: list[ParameterAccount]
    findings: list[Finding]
