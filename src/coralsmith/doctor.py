"""`coralsmith doctor`: what of this machine works, what does not, and what to do about it.

Each part is one function in the room that it is about; a new part is one more line in `examine`.
"""

from __future__ import annotations

from pathlib import Path

from coralsmith.compiler.doctor import examine_compiler
from coralsmith.findings import Examination, MachineFact
from coralsmith.progress import SILENT, Progress
from coralsmith.runtime.doctor import examine_devices, examine_model, examine_runtime
from coralsmith.runtime.machine import Machine, ThisMachine


def examine(
    compiler: str = "auto",
    model: Path | None = None,
    *,
    machine: Machine | None = None,
    progress: Progress = SILENT,
) -> Examination:
    """Look at everything that coralsmith uses of the machine.

    Args:
        compiler: The compiler to look at, as for `coralsmith compile --compiler`.
        model: A compiled model; whether the installed runtime takes it.
        machine: Another machine than this one, for the parts about the runtime and the devices.
        progress: Told about every part.

    Raises:
        InputError: `model` cannot be read, or is no model.
    """
    machine = machine or ThisMachine()
    about_model = (
        [] if model is None else examine_model(model.expanduser(), machine)
    )  # a wrong path is said at once
    facts: list[MachineFact] = []
    progress.step("Look at the runtime")
    facts += examine_runtime(machine)
    progress.step("Look for Edge TPUs")
    facts += examine_devices(machine)
    progress.step("Look at the Edge TPU compiler")
    facts += examine_compiler(compiler)
    return Examination((*facts, *about_model))
