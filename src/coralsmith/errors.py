"""The typed errors of coralsmith: each carries a message, a hint and the exit code of the command line.

Exit codes are part of the public contract: 1 findings that stop the job, 2 wrong use or input, 3 environment.
"""

from __future__ import annotations


class CoralsmithError(Exception):
    """Base of every error that coralsmith raises on purpose.

    Args:
        message: What is wrong, in one sentence, with the measured value where there is one.
        hint: What the user can do about it; empty where nothing can be advised.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CoralsmithError):
    """An option, recipe or argument that makes no sense."""


class InputError(CoralsmithError):
    """A file that cannot be used: missing, damaged, or of the wrong kind."""


class MalformedModelError(InputError):
    """A model file whose bytes are not a valid model."""


class UnsupportedModelError(InputError):
    """A valid model that uses something coralsmith, or the Edge TPU compiler of 2021, has no form for."""


class DetectionHeadError(InputError):
    """A detection head that is missing, ambiguous, or contradicts the model.

    Args:
        message: What is wrong or not known.
        hint: What the user can do about it.
        evidence: What was measured, one fact each, best first where it is a choice.
    """

    def __init__(self, message: str, hint: str = "", evidence: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.evidence = evidence


class ImageDataError(InputError):
    """Images that cannot be used: an empty folder, or no readable file in it."""


class OutputError(CoralsmithError):
    """A result that could not be written: no permission, a full disk, a file in the way."""


class GraphInvariantError(CoralsmithError):
    """`Graph.verify` failed after an importer or a pass: a bug of coralsmith, named by the step that made it."""

    exit_code = 1


class NotProvedError(CoralsmithError):
    """A result that would be no more than a guess: what was found does not follow from the input alone."""

    exit_code = 1


class TrainingError(CoralsmithError):
    """A training that cannot go on: its loss is not finite."""

    exit_code = 1


class MachineError(CoralsmithError):
    """Something the machine lacks: an extra, a compiler, a device, memory or time."""

    exit_code = 3


class MissingExtraError(MachineError):
    """An optional dependency is not installed; the hint is the exact command that installs it."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the optional dependency group '{extra}', which is not installed.",
            hint=f"pip install 'coralsmith[{extra}]'",
        )
        self.extra = extra


class DeviceError(MachineError):
    """An Edge TPU that is missing, cannot be opened, or was lost while it worked."""


class CompilerError(MachineError):
    """The Edge TPU compiler is missing, failed, or wrote something that is not a compiled model."""
