"""Peak memory of calibration with few and with many images."""

from __future__ import annotations

from typing import Any

from benchmarks.quantize.process import coralsmith, run
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.table import print_table

IMAGE_COUNTS = (20, 200, 2000)


def measure_memory(sources: Sources) -> dict[str, Any]:
    """Quantize the blood cell detector with more and more images."""
    results: dict[str, Any] = {}
    for count in IMAGE_COUNTS:
        folder = sources.bccd_repeated(count)
        output = sources.work / "bccd_memory.tflite"
        options = ("--images", folder, "--samples", str(count), "-o", output, "--quiet")
        done = run(coralsmith("quantize", sources.bccd_float, *options))
        results[str(count)] = {"seconds": done.seconds, "peak_megabytes": done.peak_megabytes}
    print_table(
        "Peak memory of coralsmith quantize by number of images (BCCD, repeated). Asked: it does not grow",
        ("images", "peak memory", "wall"),
        [(n, f"{r['peak_megabytes']:.0f} MiB", f"{r['seconds']:.1f} s") for n, r in results.items()],
    )
    return results
