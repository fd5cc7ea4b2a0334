"""What is said of a training when it is over."""

from __future__ import annotations

from typing import Literal

from coralsmith.findings import Finding
from coralsmith.tuning.objects import LabelledInputs
from coralsmith.tuning.options import TuningOptions
from coralsmith.tuning.training import LEAST_GAIN, Course


def course_findings(
    course: Course,
    tuning: TuningOptions,
    labelled: LabelledInputs | None,
    form: Literal["int8", "float"] = "int8",
) -> list[Finding]:
    """What a training gained, and how it ended.

    Args:
        course: How it went.
        tuning: How it was to go.
        labelled: What it was made with; None where there were no labels.
        form: Of the model that was trained.
    """
    aim, error = (
        ("follow the float model", "error")
        if labelled is None
        else (f"find the objects of {len(labelled.images)} labelled images", "loss")
    )
    before = "after post-training quantization" if form == "int8" else "before"
    kept = "post-training quantized model" if form == "int8" else "float model as it was"
    found = [
        Finding(
            "tuned" if course.has_gained else "tuning-gained-nothing",
            "info" if course.has_gained else "warning",
            f"The {form} model was trained for {course.steps} steps ({course.memory_format} memory) to {aim}; the "
            f"{error} on held-back images is given as a share of that {before}.",
            fix="" if course.has_gained else f"The {kept} was kept. More images or epochs may help.",
            measured=f"{course.gain:.3f}",
            limit=f"{1 - LEAST_GAIN:g}",
            evidence="measured with integers that equal those of the int8 kernels"
            if form == "int8"
            else "measured",
        )
    ]
    if course.ended == "time":
        found.append(
            Finding(
                "tuning-stopped-by-time",
                "info",
                f"Training ended after its {tuning.minutes:g} minutes; another machine would get further, or less "
                "far, and give other bytes.",
                fix="--minutes 0 --epochs N trains for a fixed number of steps.",
                measured=f"{course.steps} steps",
                evidence="measured",
            )
        )
    return found
