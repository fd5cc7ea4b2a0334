"""What the Edge TPU compiler can be asked to do, and its arguments for that.

Source: `edgetpu_compiler --help` as documented (coral.ai/docs/edgetpu/compiler) and seen in published logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.compiler.place import OUTPUT_FOLDER
from coralsmith.errors import UsageError

FIRST_WITH_SEARCH: Final = 16  # the first version with a delegate search and with a timer of its own
MOST_SEGMENTS: Final = 64


@dataclass(frozen=True)
class CompilerOptions:
    """The choices of one run of the compiler.

    Attributes:
        min_runtime: Oldest Edge TPU runtime that must run the output, 10 to 14; None for the compiler's own (14
            for version 16).
        subgraphs: Map every partition that can be mapped, not only the first (`-a`, experimental).
        search_step: Where the whole does not compile, take this many operators off the end and try again
            (`-d`, version 16); None not to search.
        cut: Tensors that must be the outputs of the part for the Edge TPU (`-i`); empty for no cut.
        segments: Into how many files to split the model for as many Edge TPUs (`-n`).
    """

    min_runtime: int | None = None
    subgraphs: bool = False
    search_step: int | None = None
    cut: tuple[str, ...] = ()
    segments: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.segments <= MOST_SEGMENTS:
            raise UsageError(
                f"A model cannot be split into {self.segments} segments: choose 1 to {MOST_SEGMENTS}."
            )

    def arguments(self, models: Sequence[str], timeout_s: float, version: int) -> tuple[str, ...]:
        """The compiler's arguments.

        Args:
            models: Names of the models in the working directory; several are compiled to share the chip.
            timeout_s: Seconds that the compiler may take; version 16 has a timer that must not end sooner.
            version: The compiler's major version.
        """
        arguments = ["-s"]
        if self.min_runtime is not None:
            arguments += ["-m", str(self.min_runtime)]
        if self.subgraphs:
            arguments.append("-a")
        if self.search_step is not None:
            arguments += ["-d", "--delegate_search_step", str(self.search_step)]
        if self.cut:
            arguments += ["-i", ",".join(self.cut)]
        if self.segments > 1:
            arguments += ["-n", str(self.segments)]
        if version >= FIRST_WITH_SEARCH:
            arguments += ["-t", str(max(1, round(timeout_s)))]
        return (*arguments, "-o", OUTPUT_FOLDER, *models)
