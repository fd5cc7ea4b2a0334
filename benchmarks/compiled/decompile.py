"""Which published compiled files give back a model, and whether its outputs are those of the source.

``python -m benchmarks.compiled.decompile SHARED`` prints the table of docs/decompile.md; SHARED is the folder that
holds `edgetpu/` and `data/`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from coralsmith.decompile_files import decompile
from coralsmith.errors import CoralsmithError, UnsupportedModelError
from coralsmith.graph.executor import Executor
from coralsmith.graph.model import Array, Graph
from coralsmith.graph.reader import read_tflite

NOISE, PHOTOS = 4, 4
RGB = 3
SSD = "ssd_mobilenet_v2_coco_quant"


@dataclass(frozen=True)
class Case:
    """A source with what the compiler made of it."""

    name: str
    source: Path
    compiled: list[Path]


def cases(shared: Path) -> Iterator[Case]:
    """The published pairs, and the detector in two segments with the source rebuilt for it by hand."""
    for folder in sorted((shared / "edgetpu" / "pairs").iterdir()):
        yield Case(folder.name, folder / "model.tflite", [folder / "model_edgetpu.tflite"])
    folder = shared / "edgetpu" / "segments" / SSD
    yield Case(SSD, folder / "source_rebuilt.tflite", sorted(folder.glob("*_edgetpu.tflite")))


def main(shared: Path) -> None:
    """Print one row for each case."""
    print("| compiled file | topology | layers | time | outputs equal | multipliers off | why not |")
    print("|---|---|---|---|---|---|---|")
    for case in cases(shared):
        print(f"| {' | '.join(_row(case, shared))} |", flush=True)


def _row(case: Case, shared: Path) -> list[str]:
    refusal = ""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "model.tflite"
        for like in (None, case.source):
            start = time.perf_counter()
            try:
                result = decompile(*case.compiled, output=output, like=like)
            except CoralsmithError as error:
                refusal = error.message
                continue
            seconds = time.perf_counter() - start
            topology = result.topology if like is None else "--like its source"
            off = sum(operator.multipliers_off for operator in result.operators)
            total = sum(operator.multipliers for operator in result.operators)
            equal = _equal_outputs(read_tflite(case.source), read_tflite(output), shared)
            return [case.name, topology, str(result.layers), f"{seconds:.1f} s", equal, f"{off} of {total}", ""]
    return [case.name, "-", "-", "-", "-", "-", refusal]


def _equal_outputs(source: Graph, recovered: Graph, shared: Path) -> str:
    """How many inputs give the same bytes, on the reference kernels."""
    try:
        executors = [Executor(graph, reference_kernels=True) for graph in (source, recovered)]
    except UnsupportedModelError as error:
        return f"not run: {error.message}"
    equal, tried = 0, 0
    for values in _inputs(source, shared):
        first, second = (executor.run(values) for executor in executors)
        equal += all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
        tried += 1
    return f"{equal} of {tried}"


def _inputs(graph: Graph, shared: Path) -> Iterator[Array]:
    """Noise, and photos for models that take them."""
    shape, dtype = graph.inputs[0].shape, graph.inputs[0].dtype
    random = np.random.default_rng(0)
    for _ in range(NOISE):
        yield _as_input(random.integers(0, 256, shape).astype(np.uint8), dtype)
    photos = sorted((shared / "data" / "coco_permissive_val" / "images").glob("*.jpg"))[:PHOTOS]
    for path in photos if len(shape) == RGB + 1 and shape[-1] == RGB else []:
        picture = Image.open(path).convert("RGB").resize((shape[2], shape[1]))
        yield _as_input(np.asarray(picture, np.uint8)[None], dtype)


def _as_input(pixels: Array, dtype: np.dtype[np.generic]) -> Array:
    return (pixels / np.float32(255)).astype(np.float32) if dtype.kind == "f" else pixels.view(dtype)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
