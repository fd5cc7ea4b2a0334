"""How well the predicted memory agrees with compiled models and published compilations; see benchmarks/README.md.

python -m benchmarks.edgetpu.memory                print the tables
python -m benchmarks.edgetpu.memory --part pairs   or stacks, activations
python -m benchmarks.edgetpu.memory --write        and write them into docs/memory.md
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.edgetpu.memory_page import write_page
from benchmarks.edgetpu.stacks import Compilation, agrees, as_printed, compilations
from coralsmith.compiled.package import CompiledModel, read_compiled
from coralsmith.edgetpu.activations import TILE_BYTES, activation_memory
from coralsmith.edgetpu.memory import ParameterMemory, parameter_memory
from coralsmith.graph.model import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.shapes import infer_shapes

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"
_KEYS = ("known", "in band", "exact")
_COUNTED = "rows in band   exact"
PARTS = ("pairs", "stacks", "activations")

SSD = "segments/ssd_mobilenet_v2_coco_quant"
MOBILENET_V2 = "pairs/gcedgetpu__mobilenet_v2_1.0_224_quant"
POSENET = "pairs/gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder"

# Larger inputs of the same networks, of which it is published that the compiler mapped them whole.
ENLARGED = (
    (MOBILENET_V2, (256, 256), "mapped"),
    (MOBILENET_V2, (512, 256), "mapped"),
    (MOBILENET_V2, (512, 512), "mapped"),
    (MOBILENET_V2, (1024, 512), "mapped"),
    (POSENET, (481, 641), "mapped"),
    (POSENET, (721, 1281), "mapped"),
)


@dataclass(frozen=True)
class PairResult:
    """Parameter bytes of one compiled model."""

    name: str
    predicted: int
    real: int
    low: int
    high: int

    @property
    def verdict(self) -> str:
        """Exact, in the band, or outside it."""
        if self.low == self.real:
            return "exact"
        return "in band" if self.low <= self.real <= self.high else "OUTSIDE"


def main() -> None:
    arguments = _arguments()
    RESULTS.mkdir(exist_ok=True)
    results = measure(arguments.shared, PARTS if arguments.part == "all" else (arguments.part,))
    for part, result in results.items():
        (RESULTS / f"edgetpu_memory_{part}.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    if arguments.write:
        write_page(results)


def measure(shared: Path, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """The results of these parts, which are printed too."""
    folder = shared.resolve() / "edgetpu"
    return {part: _MEASURES[part](folder) for part in parts}


def measure_pairs(folder: Path) -> list[dict[str, Any]]:
    """Predicted and real parameter bytes of every compiled model."""
    results = [*pair_results(folder), ssd_result(folder)]
    print("Parameter bytes: prediction beside the compiled model\n")
    print(f"{'model':58} {'predicted':>10} {'real':>10} {'agreement':>10} {'band':>8}")
    for result in results:
        width = result.high - result.low
        print(
            f"{result.name:58} {result.predicted:>10,} {result.real:>10,} {result.verdict:>10} "
            f"{width:>8,} ({width / max(result.real, 1):.1%})"
        )
    counts = Counter(result.verdict for result in results)
    print(f"\n{', '.join(f'{amount} {verdict}' for verdict, amount in counts.items())}, of {len(results)}\n")
    return [{**asdict(result), "verdict": result.verdict} for result in results]


def pair_results(folder: Path) -> Iterator[PairResult]:
    for pair in sorted((folder / "pairs").iterdir()):
        source, mapped, compiled = read_pair(pair)
        (package,) = compiled.packages
        memory = parameter_memory(source, mapped)
        yield _pair_result(pair.name, memory, package.on_chip_bytes + package.streamed_bytes)


def ssd_result(folder: Path) -> PairResult:
    """The two segments together: they are one model's parameters, each at home in one of them."""
    source = read_tflite(folder / SSD / "source_rebuilt.tflite")
    segments = [read_compiled(path) for path in sorted((folder / SSD).glob("*_edgetpu.tflite"))]
    real = sum(p.on_chip_bytes + p.streamed_bytes for segment in segments for p in segment.packages)
    mapped = [index for index, op in enumerate(source.ops) if op.kind not in ("DEQUANTIZE", "CUSTOM")]
    return _pair_result("ssd_mobilenet_v2_coco_quant, two segments", parameter_memory(source, mapped), real)


def read_pair(pair: Path) -> tuple[Graph, list[int], CompiledModel]:
    """The source, which of its operators are on the Edge TPU, and the compiled model."""
    source, compiled = read_tflite(pair / "model.tflite"), read_compiled(pair / "model_edgetpu.tflite")
    on_cpu = {op.name for op in compiled.cpu_ops}
    return source, [index for index, op in enumerate(source.ops) if op.name not in on_cpu], compiled


def _pair_result(name: str, memory: ParameterMemory, real: int) -> PairResult:
    return PairResult(name, memory.low, real, memory.low, memory.high)


def measure_stacks(folder: Path) -> dict[str, Any]:
    """Published compilations of stacks of equal layers: the cache they take, and what is streamed."""
    print("Stacks of equal layers: prediction beside the compiler's on-chip and off-chip memory\n")
    print(f"{'':57} {'':>5} {'':>6}  where bytes streamed are told     of it, where some are")
    print(f"{'series':57} {'rows':>5} {'bytes':>6}  {_COUNTED:>22}   {_COUNTED:>30}")
    rows = list(compilations(folder / "latency"))
    result: dict[str, Any] = {}
    for series in sorted({row.series for row in rows}):
        result[series] = _count([row for row in rows if row.series == series])
        _print_counts(series, result[series])
    result["all"] = _count([row for row in rows if not row.excluded])
    _print_counts("all that can be compared", result["all"])
    for reason in sorted({row.excluded for row in rows if row.excluded}):
        print(f"\nnot compared: {sum(row.excluded == reason for row in rows)} rows, {reason}")
    print()
    return result


def _count(rows: Sequence[Compilation]) -> dict[str, int]:
    memories = [(row, parameter_memory(row.graph(), range(len(row.layers)))) for row in rows if not row.excluded]
    counts = Counter(rows=len(rows))
    for row, memory in memories:
        counts["bytes"] += agrees(row, memory)
        if row.streamed is None:
            continue
        inside = as_printed(memory.streamed_low, row.streamed, low=True) and as_printed(
            memory.streamed_high, row.streamed, low=False
        )
        estimate = memory.streamed_bytes
        exact = estimate is not None and as_printed(estimate, row.streamed)
        for key, holds in (("known", True), ("in band", inside), ("exact", exact)):
            counts[key] += holds
            counts[f"{key}, streaming"] += holds and row.streamed.value > 0
    return dict(counts)


def _print_counts(series: str, counts: dict[str, int]) -> None:
    told = "".join(f"{counts.get(key, 0):>8}" for key in _KEYS)
    streaming = "".join(f"{counts.get(f'{key}, streaming', 0):>8}" for key in _KEYS)
    print(f"{series:57} {counts['rows']:>5} {counts.get('bytes', 0):>6}  {told}         {streaming}")


def measure_activations(folder: Path) -> list[dict[str, Any]]:
    """Predicted and recorded memory for activations, and what is predicted for larger inputs that were mapped."""
    print(f"Activation bytes on the fullest tile, of {TILE_BYTES:,}: prediction beside the compiled model\n")
    print(f"{'model':66} {'predicted':>10} {'real':>10} {'ratio':>6}")
    rows: list[dict[str, Any]] = []
    for pair in sorted((folder / "pairs").iterdir()):
        source, mapped, compiled = read_pair(pair)
        real = max(e.narrow_memory_bytes for p in compiled.packages for e in p.executables)
        rows.append({"name": pair.name, "predicted": activation_memory(source, mapped).tile_bytes, "real": real})
    rows.append(_ssd_activations(folder))
    for row in rows:
        print(
            f"{row['name']:66} {row['predicted']:>10,} {row['real']:>10,} {row['predicted'] / row['real']:>6.3f}"
        )
    for name, size, fate in ENLARGED:
        predicted = activation_memory(*enlarged(folder / name, size)).tile_bytes
        label = f"{Path(name).name.removeprefix('gcedgetpu__')[:44]} at {size[0]}x{size[1]}"
        print(f"{label:66} {predicted:>10,} {fate:>10}")
        rows.append({"name": label, "predicted": predicted, "real": None})
    print()
    return rows


def _ssd_activations(folder: Path) -> dict[str, Any]:
    """The fullest segment; the whole model's fullest operator lies in it."""
    source = read_tflite(folder / SSD / "source_rebuilt.tflite")
    segments = [read_compiled(path) for path in sorted((folder / SSD).glob("*_edgetpu.tflite"))]
    real = max(e.narrow_memory_bytes for s in segments for p in s.packages for e in p.executables)
    predicted = activation_memory(source, range(len(source.ops) - 3)).tile_bytes
    return {"name": "ssd_mobilenet_v2_coco_quant, fullest segment", "predicted": predicted, "real": real}


_MEASURES = {"pairs": measure_pairs, "stacks": measure_stacks, "activations": measure_activations}


def enlarged(pair: Path, size: tuple[int, int]) -> tuple[Graph, range]:
    """The convolutions in front of a network, as many as take another input size, and their indices."""
    graph = read_tflite(pair / "model.tflite")
    graph.inputs[0].shape = (1, *size, graph.inputs[0].shape[3])
    count = 0
    for op in graph.ops:
        shapes = infer_shapes(op) if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "QUANTIZE") else None
        if shapes is None:
            break
        op.output.shape = shapes[0]
        count += 1
    return graph, range(count)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.edgetpu.memory", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/memory.md")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    return parser.parse_args()


if __name__ == "__main__":
    main()
