"""The prediction of `check` beside what the real compiler did, operator by operator; see benchmarks/README.md.

python -m benchmarks.edgetpu.mapping                 print the tables
python -m benchmarks.edgetpu.mapping --json          the same as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quantize.process import coralsmith, run_in_turn, summary
from benchmarks.quantize.table import print_table
from coralsmith.compat import CheckReport, check_graph
from coralsmith.compiled.package import read_compiled
from coralsmith.compiler import parse_log
from coralsmith.graph.model import Op
from coralsmith.graph.reader import read_tflite

ROOT = Path(__file__).resolve().parents[2]
TIMES = 7


@dataclass(frozen=True)
class Pair:
    """One source model beside its compiled model.

    Attributes:
        name: Folder of the pair.
        operators: Operators of the source.
        on_cpu: Operators that the compiler left on the CPU.
        agree: Whether exactly those were predicted, and nothing is unknown.
        log_agrees: Whether the rows of the compiler's log were predicted; None without a log.
    """

    name: str
    operators: int
    on_cpu: int
    agree: bool
    log_agrees: bool | None


def main() -> None:
    arguments = _arguments()
    pairs = [compare(folder) for folder in sorted((arguments.shared / "edgetpu" / "pairs").iterdir())]
    logged = [pair for pair in pairs if pair.log_agrees is not None]
    mapped, rows = sum(pair.agree for pair in pairs), sum(bool(pair.log_agrees) for pair in logged)
    time = check_time(arguments.shared)
    if arguments.json:
        result = {"pairs": [asdict(pair) for pair in pairs], "agree": mapped, "logs_agree": rows, "check": time}
        json.dump(result, sys.stdout, indent=2)
    else:
        print_table(
            f"Operator by operator: {mapped} of {len(pairs)} pairs; rows of the log: {rows} of {len(logged)}",
            ("pair", "operators", "on the CPU", "predicted", "log"),
            [(p.name, str(p.operators), str(p.on_cpu), _word(p.agree), _word(p.log_agrees)) for p in pairs],
        )
        print(f"coralsmith check, SSD MobileNetV2 of 6.2 MB, start to finish, median of {TIMES}: ", end="")
        print(f"{time['seconds']:.2f} s ({time['cpu_seconds']:.2f} s CPU)")
    sys.exit(mapped < len(pairs) or rows < len(logged))


def compare(folder: Path) -> Pair:
    """Predict a source, for the runtime that it was compiled for."""
    source = read_tflite(folder / "model.tflite")
    compiled = read_compiled(folder / "model_edgetpu.tflite")
    report = check_graph(source, min_runtime=compiled.packages[0].min_runtime)
    predicted = Counter(_identity(source.ops[fate.index]) for fate in report.ops if fate.target == "cpu")
    real = Counter(_identity(op) for op in compiled.cpu_ops)
    log = folder / "compile.log"
    log_agrees = _rows(report) == _logged_rows(log) if log.exists() else None
    agree = predicted == real and report.ops_unknown == 0
    return Pair(folder.name, len(source.ops), real.total(), agree, log_agrees)


def check_time(shared: Path) -> dict[str, float]:
    """Wall and CPU time of the whole command on a model of 6 MB."""
    model = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant" / "source_rebuilt.tflite"
    runs = run_in_turn({"check": coralsmith("check", model)}, TIMES)["check"]
    return summary(runs)


def _identity(op: Op) -> tuple[str, ...]:
    return (op.kind, *(tensor.name for tensor in op.outputs))


def _rows(report: CheckReport) -> Counter[tuple[str, str]]:
    return Counter((fate.kind, fate.status) for fate in report.ops)


def _logged_rows(path: Path) -> Counter[tuple[str, str]]:
    rows = parse_log(path.read_text("utf-8")).operations
    return Counter({(row.kind, row.status): row.count for row in rows})


def _word(value: bool | None) -> str:
    return {True: "the same", False: "DIFFERS", None: ""}[value]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.edgetpu.mapping", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="models and data")
    return parser.parse_args()


if __name__ == "__main__":
    main()
