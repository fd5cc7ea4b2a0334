"""The public `inspect`: it stands alone because it must start fast, without importers or an interpreter."""

from __future__ import annotations

from pathlib import Path

from coralsmith.compiled.inspection import inspect_file
from coralsmith.compiled.inspection_report import Inspection


def inspect(model: str | Path) -> Inspection:
    """Look into a file that the Edge TPU compiler wrote: runtime, memory, programs, inputs and outputs, CPU.

    A file that cannot run on the Edge TPU (also one that was never compiled) has findings of severity "error".

    Raises:
        InputError: The file cannot be read.
        MalformedModelError: It is no model, or its package for the chip is damaged.
    """
    return inspect_file(model)
