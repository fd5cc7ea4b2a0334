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
    """
    machine = machine or ThisMachine()
    facts: list[MachineFact] = []
    progress.step("Look at the runtime")
    facts += examine_runtime(machine)
    progress.step("Look for Edge TPUs")
    facts += examine_devices(machine)
    progress.step("Look at the Edge TPU compiler")
    facts += examine_compiler(compiler)
    if model is not None:
        facts += examine_model(model.expanduser(), machine)
    return Examination(tuple(facts))
