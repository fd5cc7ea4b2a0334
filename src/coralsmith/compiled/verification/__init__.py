"""Was this compiled from that? A source and its compiled files, held against each other to the bit."""

from coralsmith.compiled.verification.report import VerifyReport
from coralsmith.compiled.verification.verifying import verify_models

__all__ = ["VerifyReport", "verify_models"]
