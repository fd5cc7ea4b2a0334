"""The lowest operator version whose semantics cover an operator, and the newest that compiler 16 reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.model import Op
from coralsmith.graph.version_rules import RULES, VersionRule


@dataclass(frozen=True)
class VersionLimit:
    """The newest version of an operator that the compiler reads (0: none), and how that is known."""

    newest: int
    evidence: str


_REFUSED: Final = "compiler output: Didn't find op for builtin opcode"
_OLDER_REGISTER: Final = "inferred: an older TFLite register ends there"
_NEWER_REGISTER: Final = "inferred: TFLite's register of late 2021, newer than compiler 16, ends there"
COMPILER_LIMITS: Final[dict[str, VersionLimit]] = {
    "CONV_2D": VersionLimit(4, f"{_REFUSED} CONV_2D version 5 and 6 (google-coral/edgetpu #631)"),
    "DEPTHWISE_CONV_2D": VersionLimit(5, _OLDER_REGISTER),
    "FULLY_CONNECTED": VersionLimit(8, "reported: version 9 reads 'Operation version not supported'"),
    "QUANTIZE": VersionLimit(2, f"{_REFUSED} QUANTIZE version 3 (google-coral/edgetpu #845)"),
    "TRANSPOSE_CONV": VersionLimit(3, "inferred: an older TFLite register ends there; a newer one was refused"),
    "LEAKY_RELU": VersionLimit(2, _OLDER_REGISTER),
    "EXP": VersionLimit(1, f"{_REFUSED} EXP version 2"),
    "REVERSE_V2": VersionLimit(2, f"{_REFUSED} REVERSE_V2 version 3"),
    "GELU": VersionLimit(0, "compiler output: Op builtin_code out of range: 150 (google-coral/edgetpu #667)"),
    "ADD": VersionLimit(4, _NEWER_REGISTER),
    "MUL": VersionLimit(5, _NEWER_REGISTER),
    "FLOOR_DIV": VersionLimit(2, _NEWER_REGISTER),
    "LOG": VersionLimit(1, _NEWER_REGISTER),
    "STRIDED_SLICE": VersionLimit(6, _NEWER_REGISTER),
    "SLICE": VersionLimit(5, _NEWER_REGISTER),
    "TRANSPOSE": VersionLimit(5, _NEWER_REGISTER),
    "GATHER": VersionLimit(5, _NEWER_REGISTER),
    "CAST": VersionLimit(4, _NEWER_REGISTER),
    "FILL": VersionLimit(3, _NEWER_REGISTER),
}


def version_rule(op: Op) -> VersionRule | None:
    """The rule that asks for a version above 1, if one applies."""
    return next((rule for rule in RULES.get(op.kind, ()) if rule.applies(op)), None)


def lowest_version(op: Op) -> int:
    """The lowest version that has the semantics of `op`; 1 for operators without a rule."""
    rule = version_rule(op)
    return rule.version if rule else 1


def legal_version(op: Op) -> int:
    """The lowest version of `op`, provided that compiler 16 reads it.

    Raises:
        UnsupportedModelError: The semantics of `op` need a newer version; the error names the option.
    """
    rule = version_rule(op)
    version, option = (rule.version, rule.option) if rule else (1, "the operator itself")
    limit = COMPILER_LIMITS.get(op.kind)
    if limit is not None and version > limit.newest:
        raise UnsupportedModelError(
            f"{op.kind} '{op.name}' needs operator version {version} because of {option}; "
            f"the Edge TPU compiler reads {f'up to version {limit.newest}' if limit.newest else 'no version'}.",
            hint=f"Change the model so that it does without {option}.",
        )
    return version
