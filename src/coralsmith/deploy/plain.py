"""The bundle for a program of one's own: model, head, one module that needs numpy only, and a sample program."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from coralsmith.deploy.bundling import Bundle, program
from coralsmith.deploy.deployable import DeployableModel, label_findings, operator_findings, order_findings
from coralsmith.deploy.record import BundleCheck
from coralsmith.deploy.replay import Detecting, Host, Pixels
from coralsmith.detection.detections import Detections

NAME: Final = "coral_detector.py"
HEAD: Final = "head.json"
LOWEST_SCORE: Final = 0.4
_SAMPLE: Final = "detect_plain.py"


def make(model: DeployableModel) -> Bundle:
    """The bundle of a model, with raw heads or without."""
    module = program(NAME)
    head = json.dumps(model.head.to_json(), ensure_ascii=False, separators=(",", ":")).encode()
    files = {
        "README.txt": _readme(model).encode(),
        NAME: module.encode(),
        "detect.py": program(_SAMPLE).replace("MODEL_FILE", model.file_name).encode(),
        model.file_name: model.bundled(),
        HEAD: head,
    }
    checks = (
        BundleCheck("labels in head.json", "pass", f"{len(model.head.labels)} in all, the first is class 0"),
    )
    host = Host(NAME, LOWEST_SCORE, model.head.nms.max_detections, _opener(module, head))
    return Bundle(
        files,
        host,
        checks,
        (*label_findings(model.head.labels, NAME), *order_findings(model), *operator_findings(model)),
    )


def _opener(module: str, head: bytes) -> Callable[[bytes], Detecting]:
    """Runs the module that goes into the bundle, not the code it is like."""
    program = ModuleType("coral_detector")
    exec(compile(module, NAME, "exec"), program.__dict__)

    def open_model(content: bytes) -> Detecting:
        with tempfile.TemporaryDirectory() as folder:
            model, description = Path(folder, "model.tflite"), Path(folder, HEAD)
            model.write_bytes(content)
            description.write_bytes(head)
            detector: Any = program.CoralDetector(model, description)

        def detect(pixels: Pixels) -> Detections:
            return Detections(*detector.detect_resized(pixels))

        return detect

    return open_model


def _readme(model: DeployableModel) -> str:
    runtime = ["   and libedgetpu, the runtime of the Edge TPU"] if model.is_compiled else []
    lines = [
        model.name,
        "",
        "1. pip install numpy ai-edge-litert pillow      (or tflite-runtime in place of ai-edge-litert)",
        *runtime,
        "",
        "2. python3 detect.py photo.jpg",
        "",
        f"{NAME:30} all of it: resizing, the interpreter, decoding. Needs numpy and an interpreter only.",
        f"{'detect.py':30} a sample program",
        f"{model.file_name:30} the model",
        f"{HEAD:30} how it is fed and read; labels",
        "",
    ]
    if not model.is_compiled:
        lines[1:1] = ["", "NOT COMPILED for the Edge TPU: this model runs on the CPU."]
    return "\n".join(lines)
