"""Time and memory from float model to int8 file, whole processes."""

from __future__ import annotations

import json
import statistics
from typing import Any

from benchmarks.quantize.process import Run, coralsmith, python_module, run_in_turn, summary
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.table import print_table

TENSORFLOW = "TFLiteConverter"
TENSORFLOW_ADDV2 = "TFLiteConverter, AddN as AddV2"
CORALSMITH = "coralsmith quantize"


def coco_commands(sources: Sources) -> dict[str, list[str]]:
    """Each contender's command line; the int8 files land in the scratch folder."""
    commands = {
        name: python_module(
            "tensorflow_converter",
            sources.coco_saved_model(two_input_adds=two_input_adds),
            sources.work / f"coco_tensorflow{'_addv2' if two_input_adds else ''}.tflite",
            sources.coco_train,
        )
        for name, two_input_adds in ((TENSORFLOW, False), (TENSORFLOW_ADDV2, True))
    }
    output = sources.work / "coco_coralsmith.tflite"
    commands[CORALSMITH] = coralsmith(
        "quantize", sources.coco_float(), "--images", sources.coco_train, "-o", output, "--quiet"
    )
    return commands


def measure_speed(sources: Sources, times: int) -> dict[str, Any]:
    """Run every contender in turn and print what each took."""
    runs = run_in_turn(coco_commands(sources), times)
    results: dict[str, Any] = {name: summary(done) for name, done in runs.items()}
    for name in (TENSORFLOW, TENSORFLOW_ADDV2):
        results[name]["seconds_without_import"] = _seconds_without_import(runs[name])
    ours = results[CORALSMITH]
    rows = []
    for name, result in results.items():
        without = result.get("seconds_without_import")
        rows.append(
            (
                name,
                f"{result['seconds']:.2f} s",
                "" if without is None else f"{without:.2f} s",
                f"{result['cpu_seconds']:.1f} s",
                f"{result['peak_megabytes']:.0f} MiB",
                "" if name == CORALSMITH else f"{ours['seconds'] / result['seconds']:.3f}",
                "" if name == CORALSMITH else f"{ours['peak_megabytes'] / result['peak_megabytes']:.3f}",
            )
        )
    print_table(
        f"Float model to int8 file: COCO SSDLite MobileNetV2 300, 59 images, whole processes, median of {times}. "
        "Asked: coralsmith / TensorFlow at most 1/6 (0.167) of the time and 1/3 (0.333) of the memory",
        ("", "wall", "wall less import", "CPU time", "peak memory", "coralsmith/this: wall", "memory"),
        rows,
    )
    return results


def _seconds_without_import(runs: list[Run]) -> float:
    """Median wall time without what importing TensorFlow took."""
    return statistics.median(run.seconds - _report(run)["import_seconds"] for run in runs)


def _report(run: Run) -> dict[str, float]:
    report: dict[str, float] = json.loads(run.output.strip().splitlines()[-1])
    return report
