"""`verify` on every published pair, each beside every other; see benchmarks/README.md.

python -m benchmarks.compiled.verification                 print the tables
python -m benchmarks.compiled.verification --json          the same as JSON
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
from coralsmith.compiled.package import CompiledModel, read_compiled
from coralsmith.compiled.verification import verify_models
from coralsmith.errors import CoralsmithError
from coralsmith.graph.model import Graph
from coralsmith.graph.reader import read_tflite

ROOT = Path(__file__).resolve().parents[2]
TIMES = 5
SSD = "ssd_mobilenet_v2_coco_quant"

Pair = tuple[Graph, list[tuple[str, CompiledModel]]]


@dataclass(frozen=True)
class Row:
    """One source held against its own compiled files.

    Attributes:
        name: Folder of the pair.
        verdict: Of the whole.
        layers: Layers with weights.
        exact: Those found to the bit.
        others: Operators without weights that a rule applies to.
        others_exact: Those found to the bit.
        unexplained: Bytes of parameters that belong to nothing.
        elsewhere: Verdicts on all other compiled files against this source.
    """

    name: str
    verdict: str
    layers: int
    exact: int
    others: int
    others_exact: int
    unexplained: int
    elsewhere: dict[str, int]


def main() -> None:
    arguments = _arguments()
    pairs = read_pairs(arguments.shared)
    rows = [compare(name, pairs) for name in pairs]
    time = verify_time(arguments.shared)
    wrong = sum(row.verdict == "mismatch" or "match" in row.elsewhere for row in rows)
    if arguments.json:
        json.dump({"pairs": [asdict(row) for row in rows], "verify": time}, sys.stdout, indent=2)
    else:
        layers, exact = sum(row.layers for row in rows), sum(row.exact for row in rows)
        swapped = sum((Counter(row.elsewhere) for row in rows), Counter())
        print_table(
            f"{exact} of {layers} layers exact; other files against each source: {_words(swapped)}",
            ("pair", "verdict", "layers exact", "others exact", "unexplained", "other files"),
            [
                (
                    row.name,
                    row.verdict,
                    f"{row.exact} of {row.layers}",
                    f"{row.others_exact} of {row.others}",
                    f"{row.unexplained:,} B",
                    _words(row.elsewhere),
                )
                for row in rows
            ],
        )
        print(f"coralsmith verify, both segments of the 6.2 MB SSD, start to finish, median of {TIMES}: ", end="")
        print(f"{time['seconds']:.2f} s ({time['cpu_seconds']:.2f} s CPU)")
    sys.exit(wrong > 0)


def read_pairs(shared: Path) -> dict[str, Pair]:
    """Every published source with its compiled files."""
    folders = [*sorted((shared / "edgetpu" / "pairs").iterdir()), shared / "edgetpu" / "segments" / SSD]
    pairs: dict[str, Pair] = {}
    for folder in folders:
        compiled = sorted(folder.glob("*_edgetpu.tflite"))
        (source,) = set(folder.glob("*.tflite")) - set(compiled)
        pairs[folder.name] = read_tflite(source), [(path.name, read_compiled(path)) for path in compiled]
    return pairs


def compare(name: str, pairs: dict[str, Pair]) -> Row:
    """Hold a source against its own compiled files, and against those of every other pair."""
    source, compiled = pairs[name]
    report = verify_models(source, compiled, name=name)
    elsewhere: Counter[str] = Counter()
    for other, (_, files) in pairs.items():
        if other != name:
            try:
                elsewhere[verify_models(source, files, name=name).verdict] += 1
            except CoralsmithError:
                elsewhere["refused"] += 1
    return Row(
        name,
        report.verdict,
        report.layers_total,
        report.layers_exact,
        len(report.other_ops),
        sum(one.status == "exact" for one in report.other_ops),
        sum(rest.bytes for a in report.parameters for rest in a.remainders if rest.what == "unexplained"),
        dict(elsewhere),
    )


def verify_time(shared: Path) -> dict[str, float]:
    """Wall and CPU time of the whole command on a model of 6 MB in two segments."""
    folder = shared / "edgetpu" / "segments" / SSD
    command = coralsmith("verify", folder / "source_rebuilt.tflite", *sorted(folder.glob("*_edgetpu.tflite")))
    return summary(run_in_turn({"verify": command}, TIMES)["verify"])


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{amount} {verdict}" for verdict, amount in sorted(counts.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compiled.verification", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="models and data")
    return parser.parse_args()


if __name__ == "__main__":
    main()
