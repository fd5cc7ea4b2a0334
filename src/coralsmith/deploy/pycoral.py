"""The bundle for pycoral and its maintained forks: model, labels, a short program, and how pycoral reads them.

Sources: google-coral/pycoral, ``pycoral/adapters/detect.py`` (`get_objects`), ``adapters/common.py``,
``utils/dataset.py`` (`read_label_file`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from coralsmith.deploy.bundling import Bundle, label_check, opened, program
from coralsmith.deploy.deployable import (
    DeployableModel,
    label_findings,
    operator_findings,
    order_findings,
    order_in_words,
    require_decoding,
    require_plain_pixels,
)
from coralsmith.deploy.record import BundleCheck
from coralsmith.deploy.replay import Host
from coralsmith.detection.detections import Detections
from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph.reader import parse_tflite

NAME: Final = "pycoral"
LOWEST_SCORE: Final = 0.4
LABELS: Final = "labels.txt"
_PROGRAM: Final = "detect_pycoral.py"
_STRETCH: Final = """\
    common.set_input(interpreter, np.asarray(image.resize((width, height), Image.BILINEAR)))
    scale = (width / image.width, height / image.height)
"""
_LETTERBOX: Final = """\
    _, scale = common.set_resized_input(interpreter, image.size, lambda size: image.resize(size, Image.BILINEAR))
"""
_UINT8: Final = "np.asarray(image.resize((width, height), Image.BILINEAR))"
_INT8: Final = "(np.asarray(image.resize((width, height), Image.BILINEAR)) ^ 128).view(np.int8)"
_SIGNATURE: Final = {"count": "output_0", "scores": "output_1", "classes": "output_2", "boxes": "output_3"}


def make(model: DeployableModel) -> Bundle:
    """The bundle of a model for pycoral.

    Raises:
        UnsupportedModelError: pycoral cannot read the model.
    """
    require_decoding(model, NAME)
    require_plain_pixels(model, NAME)
    labels = write_label_file(model.head.labels)
    content = model.bundled()
    files = {
        "README.txt": _readme(model).encode(),
        "detect.py": _program(model).encode(),
        model.file_name: content,
        LABELS: labels.encode(),
    }
    graph = parse_tflite(content)
    signatures = "no signature" if not graph.facts.signatures else f"{graph.facts.signatures} signatures"
    checks = (
        label_check(NAME, read_label_file(labels), model.head.labels),
        BundleCheck(
            "outputs by position",
            "fail" if graph.facts.signatures else "pass",
            f"{order_in_words(graph)}; {signatures}",
        ),
    )
    host = Host(NAME, LOWEST_SCORE, model.head.nms.max_detections, lambda file: opened(file, read_outputs))
    return Bundle(files, host, checks, tuple(_findings(model)))


def write_label_file(labels: Sequence[str]) -> str:
    """Lines of number and label: pycoral takes any line that begins with a number for one."""
    return "".join(f"{number} {label}\n" for number, label in enumerate(labels))


def read_label_file(text: str) -> dict[int, str]:
    """What pycoral's `read_label_file` makes of a label file."""
    names = {}
    for row, line in enumerate(text.split("\n")[:-1]):
        pair = re.split(r"[:\s]+", line.strip(), maxsplit=1)
        if len(pair) == 2 and pair[0].strip().isdigit():
            names[int(pair[0])] = pair[1].strip()
        else:
            names[row] = line.strip()
    return names


def read_outputs(interpreter: Any) -> Detections:
    """What pycoral's `get_objects` reads in the program of the bundle, which clears the rows behind the count.

    With a signature outputs are known by name; else a fourth output of one element means boxes, classes, scores,
    count, and any other scores, boxes, count, classes.

    Raises:
        ValueError: As there: the model has several signatures.
        KeyError: As there: a signature has other names.
    """
    signatures = interpreter.get_signature_list()
    outputs = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
    if signatures:
        if len(signatures) > 1:
            raise ValueError("Only support model with one signature.")
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        named = runner.get_output_details()
        boxes, classes, scores, count = (
            interpreter.get_tensor(named[_SIGNATURE[role]]["index"])
            for role in ("boxes", "classes", "scores", "count")
        )
    elif outputs[3].size == 1:
        boxes, classes, scores, count = outputs[:4]
    else:
        scores, boxes, count, classes = outputs[:4]
    rows = int(count[0])
    return Detections(boxes[0][:rows], classes[0][:rows].astype(np.int64), scores[0][:rows])


def _program(model: DeployableModel) -> str:
    text = program(_PROGRAM).replace("MODEL_FILE", model.file_name)
    is_int8 = model.graph.inputs[0].dtype == np.int8
    if model.head.input.resize == "stretch":
        return text.replace(_UINT8, _INT8) if is_int8 else text
    if is_int8:
        raise UnsupportedModelError(
            "pycoral letterboxes into uint8 inputs only, and the model's input is int8.",
            hint="Convert it again with --io uint8 (the default).",
        )
    return text.replace(_STRETCH, _LETTERBOX).replace("import numpy as np\n", "")


def _findings(model: DeployableModel) -> list[Finding]:
    found = [*label_findings(model.head.labels, NAME), *order_findings(model), *operator_findings(model)]
    if not model.is_compiled:
        found.append(
            Finding(
                "not-compiled",
                "warning",
                "The model is not compiled for the Edge TPU: pycoral will run it on the CPU, far slower.",
                f"coralsmith compile {model.file_name}, then bundle the *_edgetpu.tflite.",
            )
        )
    return found


def _readme(model: DeployableModel) -> str:
    lines = [
        f"{model.name} for pycoral",
        "",
        "1. Install pycoral. Google's own wheels end with Python 3.9; for newer ones take a maintained fork",
        "   whose libedgetpu and tflite_runtime fit together (feranick/pycoral, feranick/libedgetpu).",
        "   pip install pillow numpy",
        "",
        "2. python3 detect.py photo.jpg",
        "",
        f"{model.file_name:30} the model; outputs by position: boxes, classes, scores, count",
        f"{LABELS:30} class numbers from 0, and labels",
        f"{'detect.py':30} the program: start from here",
        "",
        "Of the outputs' rows only the first `count` are written for each image; get_objects() reads all of",
        "them. detect.py clears the rest: keep that line.",
        "",
    ]
    if not model.is_compiled:
        lines[1:1] = ["", "NOT COMPILED: this model runs on the CPU. It is for trying it out."]
    return "\n".join(lines)
