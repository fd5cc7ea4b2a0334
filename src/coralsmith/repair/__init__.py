"""Repairs: small proved passes that turn what the Edge TPU cannot run into what it can."""

from coralsmith.repair.driver import Mode, RepairResult, repair
from coralsmith.repair.passes import Change, OpName, Refusal, RepairPass

__all__ = ["Change", "Mode", "OpName", "Refusal", "RepairPass", "RepairResult", "repair"]
