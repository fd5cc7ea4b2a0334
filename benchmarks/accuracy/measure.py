"""How contenders of one case are measured: AP lost and agreement with the float model, both from raw heads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.sources import Case
from benchmarks.quantize.process import REPOSITORY
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.table import print_table
from coralsmith.compat.check import check_graph
from coralsmith.detection.head import DetectionHead
from coralsmith.evaluation.agreement import Classes, measure_agreement
from coralsmith.evaluation.evaluate import compare, score
from coralsmith.evaluation.looking import look
from coralsmith.graph import Graph
from coralsmith.runtime.detector import Detector

RESULTS = REPOSITORY / "benchmarks" / "results"


def parser_for(module: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that say where models and data lie; see `sources_in`."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "quantize", help="scratch folder, kept")
    return parser


def sources_in(arguments: argparse.Namespace) -> Sources:
    """Models and data as the options name them, with the scratch folder made."""
    sources = Sources(arguments.shared.resolve(), arguments.work.resolve())
    sources.work.mkdir(parents=True, exist_ok=True)
    return sources


def keep(file: str, names: Iterable[str], measure_case: Callable[[str], list[dict[str, Any]]]) -> None:
    """Measure cases one by one, and keep the rows of each under its name in a file of results."""
    target = RESULTS / file
    results = json.loads(target.read_text("utf-8")) if target.is_file() else {}
    for name in names:
        results[name] = measure_case(name)
        RESULTS.mkdir(exist_ok=True)
        target.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def measure(case: Case, contenders: Iterable[tuple[str, Graph, float | None]]) -> list[dict[str, Any]]:
    """All contenders of one case, printed as a table.

    Args:
        case: The detector and its images.
        contenders: Name, graph and seconds that it took, where they are known.
    """
    reference = look(Detector(case.graph, case.head).detect, case.dataset.images)
    truth = score(reference, case.dataset, case.head.labels, case.head.category_ids)
    classes = Classes(case.head.labels, case.head.category_ids)
    rows = []
    for name, graph, seconds in contenders:
        seen = look(Detector(graph, _head_for(graph, case.head)).detect, case.dataset.images)
        found = score(seen, case.dataset, case.head.labels, case.head.category_ids)
        lost = compare(found, against=truth)
        agreement = measure_agreement(seen, reference, classes)
        report = check_graph(graph)
        rows.append(
            {
                "name": name,
                "on_edgetpu": f"{report.ops_edgetpu} of {report.ops_total}",
                "ap": found.ap,
                "drop": lost.drop,
                "drop_interval": lost.drop_interval,
                "agreement": agreement.ap,
                "agreement_interval": agreement.ap_interval,
                "seconds": seconds,
            }
        )
        print(f"  {name}: drop {lost.drop:+.4f}, agreement {agreement.ap:.4f}", file=sys.stderr, flush=True)
    print_table(
        f"{case.title}; {case.weights} weights; {truth.images} images, float AP {truth.ap:.4f}, 95 % intervals",
        ("", "on the Edge TPU", "AP", "drop", "paired interval", "agreement", "interval", "s"),
        [_row(row) for row in rows],
    )
    return rows


def _head_for(graph: Graph, head: DetectionHead) -> DetectionHead:
    """The head with the names of this form's outputs: boxes have four columns."""
    boxes = next(tensor.name for tensor in graph.outputs if tensor.shape[-1] == 4)
    scores = next(tensor.name for tensor in graph.outputs if tensor.name != boxes)
    return replace(head, boxes=boxes, scores=scores)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    low, high = row["drop_interval"]
    agreed = row["agreement_interval"]
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
    return (
        row["name"],
        row["on_edgetpu"],
        f"{row['ap']:.4f}",
        f"{row['drop']:+.4f}",
        f"{low:+.4f} .. {high:+.4f}",
        f"{row['agreement']:.4f}",
        f"{agreed[0]:.3f} .. {agreed[1]:.3f}",
        seconds,
    )
