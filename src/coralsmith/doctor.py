"""`coralsmith doctor`: what of this machine works, what does not, and what to do about it.

Each part is one function in the room that it is about; a new part is one more line in `_PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coralsmith.compiler.doctor import examine_compiler
from coralsmith.findings import Examination, MachineFact
from coralsmith.progress import SILENT, Progress

_PARTS: Final[tuple[tuple[str, Callable[[str], list[MachineFact]]], ...]] = (
    ("Look at the Edge TPU compiler", examine_compiler),
)


def examine(compiler: str = "auto", *, progress: Progress = SILENT) -> Examination:
    """Look at everything that coralsmith uses of the machine.

    Args:
        compiler: The compiler to look at, as for `coralsmith compile --compiler`.
        progress: Told about every part.
    """
    facts: list[MachineFact] = []
    for title, part in _PARTS:
        progress.step(title)
        facts += part(compiler)
    return Examination(tuple(facts))
