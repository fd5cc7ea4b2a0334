"""Feeds damaged `.tflite` files to the reader, the writer and the interpreter, and counts what becomes of them.

    python -m benchmarks.fuzz.fuzz_tflite --count 20000 --seed 1 --workers 2

Each file must end in a typed error, or in a graph that can be written and run. Anything else is a defect: another
exception, a native crash, a hang (more than two seconds of CPU time). Files that were a defect are saved. The same
seed gives the same files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.fuzz.byte_mutations import Seed, mutate_bytes
from benchmarks.fuzz.campaign import options_of, run_campaign
from benchmarks.fuzz.model_mutations import mutate_meaning
from benchmarks.fuzz.random_operators import KINDS, random_operator
from benchmarks.fuzz.seed_graphs import seed_graphs
from coralsmith.errors import CoralsmithError
from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor, random_inputs
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize, serialize_for_interpreter

LARGEST_SEED = 1_200_000
LARGEST_INPUT = 1 << 20  # elements; larger models take their time by right and are not run


def load_seeds(shared: Path) -> list[Seed]:
    """Generated graphs, and the real models that are small enough to be run thousands of times."""
    generated = [Seed.of(name, serialize_for_interpreter(graph)[0]) for name, graph in seed_graphs().items()]
    models = (path for path in sorted(shared.rglob("*.tflite")) if not path.stem.endswith("_edgetpu"))
    small = (path for path in models if path.stat().st_size <= LARGEST_SEED)
    return generated + [Seed.of(path.relative_to(shared).as_posix(), path.read_bytes()) for path in small]


class Files:
    """The files of a run: by turns damaged in their bytes, damaged in their meaning, and made up at random."""

    def __init__(self, seeds: list[Seed], number: int) -> None:
        self.seeds, self.number = seeds, number

    def origin(self, index: int) -> str:
        """What file `index` was made of."""
        return KINDS[index // 3 % len(KINDS)] if index % 3 == 2 else self._seed(index).name

    def content(self, index: int) -> bytes:
        """File `index`."""
        generator = np.random.default_rng([self.number, index])
        if index % 3 == 2:
            return random_operator(KINDS[index // 3 % len(KINDS)], generator)
        if index % 3 == 1:
            return mutate_meaning(self._seed(index).content, generator)
        return mutate_bytes(self._seed(index), generator)

    def _seed(self, index: int) -> Seed:
        return self.seeds[index // 3 % len(self.seeds)]

    def examine(self, index: int) -> str:
        """What coralsmith makes of file `index`, in one phrase."""
        content = self.content(index)
        try:
            graph = parse_tflite(content)
        except CoralsmithError as error:
            return f"rejected: {type(error).__name__}"
        written, run = _outcome(serialize, graph), _outcome(_run, graph)
        return f"accepted; writer: {written}; interpreter: {run}"


def _run(graph: Graph) -> None:
    if sum(tensor.elements for tensor in graph.inputs) <= LARGEST_INPUT:
        Executor(graph, threads=1).run(*random_inputs(graph, np.random.default_rng(0)))


def _outcome(step, graph: Graph) -> str:
    try:
        step(graph)
    except CoralsmithError as error:
        return type(error).__name__
    return "done"


def main() -> int:
    """Run and print; exit code 1 where a defect was found."""
    options = options_of(__doc__).parse_args()
    files = Files(load_seeds(options.shared), options.seed)
    return run_campaign(files, options)


if __name__ == "__main__":
    sys.exit(main())
