"""What post-training quantization costs: AP, agreement with the float model, and signal to noise of the raw heads.

python -m benchmarks.accuracy.ptq [--case NAME ...]

coralsmith in its plain form, with each method alone, and with `auto`; TFLiteConverter and ai-edge-quantizer beside
it on the same float model and images. Calibration never sees the images that are measured on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.sources import Case, bccd, coco, in_bad_units
from benchmarks.quantize.process import REPOSITORY, run
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.table import print_table
from coralsmith.compat.check import check_graph
from coralsmith.detection.head import DetectionHead
from coralsmith.evaluation.agreement import Classes, measure_agreement
from coralsmith.evaluation.evaluate import compare, score
from coralsmith.evaluation.looking import look
from coralsmith.graph import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.quantization.automatic import auto_quantize
from coralsmith.quantization.options import DetectionOutputs, PixelScale, QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.runtime.detector import Detector

RESULTS = REPOSITORY / "benchmarks" / "results"
METHODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "least-squares ranges": {"ranges": "least-squares"},
    "detection ranges": {"detection_ranges": True},
    "exact equalization": {"equalization": "exact"},
    "adaptive rounding": {"rounding": "adaptive"},
}


def cases(sources: Sources) -> dict[str, tuple[Callable[[], Case], str, bool]]:
    """How each case is made, its weights, and whether the peers and each method alone take part."""
    return {
        "coco": (lambda: coco(sources), "per-channel", True),
        "bccd": (lambda: bccd(sources), "per-channel", True),
        "bccd-per-tensor": (lambda: bccd(sources), "per-tensor", False),
        "coco-bad-units": (lambda: in_bad_units(coco(sources)), "per-channel", False),
        "bccd-bad-units": (lambda: in_bad_units(bccd(sources)), "per-tensor", False),
    }


def main() -> None:
    arguments = _arguments()
    sources = Sources(arguments.shared.resolve(), arguments.work.resolve())
    sources.work.mkdir(parents=True, exist_ok=True)
    target = RESULTS / "ptq.json"
    results = json.loads(target.read_text("utf-8")) if target.is_file() else {}
    every = cases(sources)
    for name in arguments.case or every:
        make, weights, everyone = every[name]
        results[name] = measure(make(), weights, sources.work, everyone=everyone)
        RESULTS.mkdir(exist_ok=True)
        target.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def measure(case: Case, weights: str, work: Path, *, everyone: bool) -> list[dict[str, Any]]:
    """All contenders of one case, printed as a table."""
    reference = look(Detector(case.graph, case.head).detect, case.dataset.images)
    truth = score(reference, case.dataset, case.head.labels, case.head.category_ids)
    classes = Classes(case.head.labels, case.head.category_ids)
    rows = []
    for name, graph, seconds in contenders(case, weights, work, everyone=everyone):
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
        f"{case.title}; {weights} weights; {truth.images} images, float AP {truth.ap:.4f}, 95 % intervals",
        ("", "on the Edge TPU", "AP", "drop", "paired interval", "agreement", "interval", "s"),
        [_row(row) for row in rows],
    )
    return rows


def contenders(
    case: Case, weights: str, work: Path, *, everyone: bool
) -> Iterator[tuple[str, Graph, float | None]]:
    """The int8 form of each contender, and how long coralsmith took for its own."""
    if everyone:
        yield "TFLiteConverter", read_tflite(case.tensorflow), None
        target = work / f"{case.float_file.stem}_ai_edge_quantizer.tflite"
        if not target.is_file():
            module = "benchmarks.accuracy.ai_edge_quantizer"
            run([sys.executable, "-m", module, str(case.float_file), str(target), str(case.calibration)])
        yield "ai-edge-quantizer", read_tflite(target), None
    inputs = case.inputs()
    options = QuantizationOptions(
        weights=weights,  # type: ignore[arg-type]
        pixels=PixelScale(1 / 127.5, -1.0),
        outputs=DetectionOutputs.of(case.head),
    )
    for name, changes in METHODS.items() if everyone else [("plain", {})]:
        start = time.perf_counter()
        graph = quantize_graph(case.graph, inputs, replace(options, **changes)).graph
        yield f"coralsmith {name}", graph, time.perf_counter() - start
    start = time.perf_counter()
    chosen = auto_quantize(case.graph, inputs, options)
    seconds = time.perf_counter() - start
    print(*(f"  {t.name}: {t.decibels:.1f} dB, kept {t.kept}" for t in chosen.trials), sep="\n", file=sys.stderr)
    yield "coralsmith auto", chosen.graph, seconds


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.ptq", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", help="one of them; may be repeated (default all)")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "quantize", help="scratch folder, kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
