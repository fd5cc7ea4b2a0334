"""What post-training quantization costs: AP, agreement with the float model, and signal to noise of the raw heads.

python -m benchmarks.accuracy.ptq [--case NAME ...]

coralsmith in its plain form, with each method alone, and with `auto`; TFLiteConverter and ai-edge-quantizer beside
it on the same float model and images. Calibration never sees the images that are measured on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.measure import keep, measure, parser_for, sources_in
from benchmarks.accuracy.sources import Case, cases
from benchmarks.quantize.process import run
from coralsmith.graph import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.quantization.automatic import auto_quantize
from coralsmith.quantization.options import DetectionOutputs, PixelScale, QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph

METHODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "least-squares ranges": {"ranges": "least-squares"},
    "detection ranges": {"detection_ranges": True},
    "exact equalization": {"equalization": "exact"},
    "adaptive rounding": {"rounding": "adaptive"},
}
WITH_PEERS = ("coco", "bccd")
"""Cases in which the peers, and each method alone, take part."""


def main() -> None:
    arguments = _arguments()
    sources = sources_in(arguments)
    every = cases(sources)

    def measure_case(name: str) -> list[dict[str, Any]]:
        case = every[name]()
        return measure(case, contenders(case, sources.work, everyone=name in WITH_PEERS))

    keep("ptq.json", arguments.case or every, measure_case)


def contenders(case: Case, work: Path, *, everyone: bool) -> Iterator[tuple[str, Graph, float | None]]:
    """The int8 form of each contender, and how long coralsmith took for its own."""
    if everyone:
        yield "TFLiteConverter", read_tflite(case.tensorflow()), None
        source = case.float_file()
        target = work / f"{source.stem}_ai_edge_quantizer.tflite"
        if not target.is_file():
            module = "benchmarks.accuracy.ai_edge_quantizer"
            run([sys.executable, "-m", module, str(source), str(target), str(case.calibration)])
        yield "ai-edge-quantizer", read_tflite(target), None
    inputs = case.inputs()
    options = QuantizationOptions(
        weights=case.weights,
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


def _arguments() -> argparse.Namespace:
    parser = parser_for("benchmarks.accuracy.ptq", __doc__.splitlines()[0])
    parser.add_argument("--case", action="append", help="one of them; may be repeated (default all)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
