"""Where a training runs, and arithmetic that is the same in every run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from coralsmith.errors import MachineError


def usable_device(wanted: str) -> str:
    """Torch's name of a device; of "auto" the GPU where torch sees one.

    Raises:
        MachineError: It is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise MachineError(
            f"torch cannot use the device '{wanted}'.", hint="--device cpu works everywhere."
        ) from error
    return wanted


@contextmanager
def settled_arithmetic(threads: int) -> Iterator[None]:
    """The same sums in every run: a fixed number of threads, deterministic kernels, no shortened mantissas."""
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before[1:]
