"""What a user should know about a recovered model."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from coralsmith.compiled.recovery.rebuilding import RecoveredLayer
from coralsmith.compiled.recovery.recovery import Recovery
from coralsmith.compiled.recovery.spatial import SpatialEvidence
from coralsmith.findings import Finding


def decompilation_findings(recovery: Recovery, spatial: SpatialEvidence) -> list[Finding]:
    """The findings about one model, the most important first."""
    return [*_spatial(spatial), *_lost_taps(recovery), *_free_scales(recovery), *_precision(recovery)]


def _spatial(spatial: SpatialEvidence) -> Iterator[Finding]:
    reasons = {
        "confirmed": "with them the maps take exactly the memory that the compiled file records",
        "near": "with them the maps take nearly the memory that the compiled file records",
        "open": "nothing in the compiled file was found to confirm them",
        "contradicted": "with them the maps would take other memory than the compiled file records",
    }
    is_wrong = spatial.verdict == "contradicted"
    yield Finding(
        "assumed-topology",
        "warning" if is_wrong else "info",
        "Strides, paddings, pool windows and the order of operators without numbers are those of the topology; "
        f"{reasons[spatial.verdict]}.",
        fix="Give a model of exactly the architecture that was compiled with --like." if is_wrong else "",
        measured=f"{spatial.recorded:,} bytes of a tile",
        limit=f"{spatial.predicted:,} bytes of a tile by the topology",
        evidence="measured: exact for most published convolutional models that fit, up to 9 % more in others",
    )


def _lost_taps(recovery: Recovery) -> Iterator[Finding]:
    for layer in recovery.layers:
        lost = _taps(layer) - layer.form.taps
        if lost:
            yield Finding(
                "lost-taps",
                "info",
                f"{lost} of {_taps(layer)} taps of the kernel only ever see padding; the compiler dropped them, "
                "and they are zero here. At this input size the result is the same.",
                op=layer.op.name,
                evidence="measured on the detector heads of published compiled models",
            )


def _free_scales(recovery: Recovery) -> Iterator[Finding]:
    chosen, total = len(recovery.solved.chosen), len(recovery.solved.scales)
    if chosen:
        yield Finding(
            "free-scales",
            "info",
            f"{chosen} of {total} scales are not fixed by the compiled file and were chosen: the integers that "
            "the model computes are the same with any of them, the real values inside it are not.",
            fix="Before training this model further, calibrate the scales of its inner tensors on photos.",
            measured=f"{chosen} scales",
            evidence="the instructions hold products and ratios of scales only",
        )


def _precision(recovery: Recovery) -> Iterator[Finding]:
    amounts = [(int((off > 0).sum()), len(off)) for off in recovery.rebuilt.off.values()]
    off, total = (sum(column) for column in zip(*amounts, strict=True))
    if off:
        yield Finding(
            "inexact-multipliers",
            "info",
            f"{off} of {total} multipliers come out one float32 step beside those that were read: no scales were "
            "found that give all of them exactly.",
            measured=f"{off} multipliers",
            evidence="computed",
        )
    yield Finding(
        "rounded-multipliers",
        "info",
        "A compiled file holds multipliers as float32, the interpreter computes 31-bit numbers from scales: a "
        "value on the border between two integers may be rounded otherwise than in the lost source.",
        evidence="measured: of published pairs, some recovered models differ from their source by single steps",
    )


def _taps(layer: RecoveredLayer) -> int:
    return 1 if len(layer.form.filter_shape) == 2 else prod(layer.form.filter_shape[1:3])
