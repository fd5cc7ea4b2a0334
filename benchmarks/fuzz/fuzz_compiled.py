"""Feeds damaged compiled files to what reads them, and counts what becomes of them.

    python -m benchmarks.fuzz.fuzz_compiled --count 20000 --seed 1 --operation inspect

Each file must end in a typed error or in a result. Anything else is a defect: another exception, a native crash, a
hang (more than two seconds of CPU time). Files that were a defect are saved. The same seed gives the same files.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
from rich.console import Console
from tests.compiled.compiled_files import compiled_bytes

from benchmarks.fuzz.byte_mutations import Seed, mutate_bytes
from benchmarks.fuzz.campaign import options_of, run_campaign
from benchmarks.fuzz.compiled_mutations import mutate_package
from benchmarks.fuzz.compiled_seeds import compiled_seeds
from coralsmith.compiled.inspection import inspect_model
from coralsmith.compiled.package import Package, parse_compiled
from coralsmith.compiled.recovery.decompilation import decompile_segments
from coralsmith.compiled.recovery.segment import segment_of
from coralsmith.compiled.verification import verify_models
from coralsmith.errors import CoralsmithError
from coralsmith.graph.model import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.report.plain import to_json
from coralsmith.report.terminal_inspect import print_inspection
from coralsmith.report.terminal_verify import print_verification

SHARED = Path(__file__).resolve().parents[3] / "shared"

Operation = Callable[[bytes], str]


def inspect(content: bytes) -> str:
    """Inspect a file as the command does; of one in eight also draw the view, which takes longer than all else."""
    model = parse_compiled(content, allow_stubs=True)
    inspection = inspect_model(model, name="damaged_edgetpu.tflite", size=len(content))
    to_json(inspection)
    if crc32(content) % 8 == 0:
        print_inspection(inspection, verbose=True, console=Console(file=io.StringIO(), width=80))
    gravest = inspection.findings[0].severity if inspection.findings else "none"
    return f"inspected; gravest finding: {gravest}"


def verify(content: bytes) -> str:
    """Hold a file against the source of one of the real seeds, as the command does."""
    report = verify_models(_source(), [("damaged_edgetpu.tflite", parse_compiled(content))], name="source.tflite")
    to_json(report)
    if crc32(content) % 8 == 0:
        print_verification(report, verbose=True, console=Console(file=io.StringIO(), width=80))
    return f"verified: {report.verdict}"


def decompile(content: bytes) -> str:
    """Recover a model from a file with the topology of one of the real seeds, as the command does."""
    segment = segment_of(parse_compiled(content), "damaged_edgetpu.tflite")
    proved = decompile_segments([segment], _source(), "source.tflite")
    return f"decompiled: {len(proved.recovery.layers)} layers"


@cache
def _source() -> Graph:
    return read_tflite(SHARED / "edgetpu" / "pairs" / "libredge__color_red_64x64" / "model.tflite")


OPERATIONS: dict[str, Operation] = {"inspect": inspect, "verify": verify, "decompile": decompile}


class Files:
    """The files of a run: each seed once as it is, then by turns damaged in its bytes and in its meaning."""

    def __init__(self, seeds: list[Seed], number: int, operation: Operation) -> None:
        self.seeds, self.number, self.operation = seeds, number, operation
        self.sound = [(seed.name, packages) for seed in seeds if (packages := _packages(seed))]

    def origin(self, index: int) -> str:
        """What file `index` was made of."""
        return self._sound(index)[0] if self._is_rewritten(index) else self._seed(index).name

    def content(self, index: int) -> bytes:
        """File `index`."""
        if index < len(self.seeds):
            return self._seed(index).content
        generator = np.random.default_rng([self.number, index])
        if not self._is_rewritten(index):
            return mutate_bytes(self._seed(index), generator)
        _, packages = self._sound(index)
        before, after = (bool(number) for number in generator.integers(2, size=2))
        changed = [mutate_package(one, generator) for one in packages]
        return compiled_bytes(*changed, promised=packages, before=before, after=after)

    def _is_rewritten(self, index: int) -> bool:
        return index >= len(self.seeds) and index % 3 == 0

    def _seed(self, index: int) -> Seed:
        return self.seeds[index % len(self.seeds)]

    def _sound(self, index: int) -> tuple[str, tuple[Package, ...]]:
        return self.sound[index // 3 % len(self.sound)]

    def examine(self, index: int) -> str:
        """What the operation makes of file `index`, in one phrase."""
        content = self.content(index)
        try:
            return self.operation(content)
        except CoralsmithError as error:
            return f"rejected: {type(error).__name__}"


def _packages(seed: Seed) -> tuple[Package, ...]:
    """The packages of a seed; none where the reader refuses it, as it does the hostile ones."""
    try:
        return parse_compiled(seed.content).packages
    except CoralsmithError:
        return ()


def main() -> int:
    """Run and print; exit code 1 where a defect was found."""
    parser = options_of(__doc__)
    parser.add_argument("--operation", choices=sorted(OPERATIONS), default="inspect", help="what reads the files")
    options = parser.parse_args()
    files = Files(compiled_seeds(options.shared), options.seed, OPERATIONS[options.operation])
    return run_campaign(files, options)


if __name__ == "__main__":
    sys.exit(main())
