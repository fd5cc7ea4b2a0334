"""The bundle for Frigate: model, label map, the lines of its configuration, and how it reads all three.

Sources: blakeblackshear/frigate, ``frigate/detectors/plugins/edgetpu_tfl.py`` and ``cpu_tfl.py`` (the detectors),
``frigate/util/builtin.py`` (`load_labels`), ``frigate/detectors/detector_config.py`` (the fields of ``model``,
others are refused), ``frigate/util/object.py`` (square regions).
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from coralsmith.deploy.bundling import Bundle, label_check, opened
from coralsmith.deploy.deployable import (
    DeployableModel,
    label_findings,
    operator_findings,
    order_findings,
    order_in_words,
    plain_order,
    require_decoding,
    require_plain_pixels,
)
from coralsmith.deploy.record import BundleCheck
from coralsmith.deploy.replay import Host
from coralsmith.detection.detections import Detections
from coralsmith.findings import Finding
from coralsmith.graph.reader import parse_tflite

Device = Literal["usb", "pci"]

NAME: Final = "Frigate"
LOWEST_SCORE: Final = 0.4
MOST_DETECTIONS: Final = 20
CONFIG_FOLDER: Final = "/config"
LABEL_MAP: Final = "labelmap.txt"
CONFIG: Final = "config.yml"
README: Final = "README.txt"
_PREFILLED: Final = 91
_UNSAFE_IN_TOPICS: Final = "/+#"


def make(model: DeployableModel, device: Device) -> Bundle:
    """The bundle of a model for Frigate.

    Raises:
        UnsupportedModelError: Frigate cannot read the model.
    """
    require_decoding(model, NAME)
    require_plain_pixels(model, NAME)
    labels = model.head.labels
    label_map = write_label_map(labels)
    config = write_config(model, device)
    files = {
        README: _readme(model).encode(),
        CONFIG: config.encode(),
        f"{model.name}/{model.file_name}": model.bundled(),
        f"{model.name}/{LABEL_MAP}": label_map.encode(),
    }
    checks = (
        label_check(NAME, read_label_map(label_map), labels),
        _config_check(config, files),
        _order_check(files[f"{model.name}/{model.file_name}"]),
    )
    host = Host(NAME, LOWEST_SCORE, MOST_DETECTIONS, lambda content: opened(content, read_outputs))
    return Bundle(files, host, checks, tuple(_findings(model)))


def write_label_map(labels: Sequence[str]) -> str:
    """Lines of number and label, which no first label can make Frigate misread."""
    return "".join(f"{number} {label}\n" for number, label in enumerate(labels))


def read_label_map(text: str) -> dict[int, str]:
    """What Frigate's `load_labels` makes of a label file.

    Raises:
        ValueError: As there: a line of a numbered file has no number, or no label behind it.
    """
    lines = io.StringIO(text, newline=None).readlines()
    if not lines:
        return {}
    names = dict.fromkeys(range(_PREFILLED), "unknown")
    if lines[0].split(" ", maxsplit=1)[0].isdigit():
        pairs = [line.split(" ", maxsplit=1) for line in lines]
        names.update({int(number): label.strip() for number, label in pairs})
    else:
        names.update({number: line.strip() for number, line in enumerate(lines)})
    return names


def read_outputs(interpreter: Any) -> Detections:
    """The rows that Frigate can read: outputs by position, whatever they are called."""
    outputs = interpreter.get_output_details()
    boxes, classes, scores, count = (interpreter.get_tensor(output["index"])[0] for output in outputs[:4])
    rows = int(count)
    return Detections(boxes[:rows], classes[:rows].astype(np.int64), scores[:rows])


def write_config(model: DeployableModel, device: Device) -> str:
    """The lines for Frigate's config.yml; size and paths come from the model."""
    _, height, width, _ = model.graph.inputs[0].shape
    folder = f"{CONFIG_FOLDER}/{model.name}"
    tracked = "".join(
        f"    - {json.dumps(label, ensure_ascii=False)}\n" for label in dict.fromkeys(model.head.labels)
    )
    return (
        f"{_detector(model, device)}\n"
        "model:\n"
        f"  path: {folder}/{model.file_name}\n"
        f"  labelmap_path: {folder}/{LABEL_MAP}\n"
        f"  width: {width}\n"
        f"  height: {height}\n"
        "  input_tensor: nhwc\n"
        "  input_pixel_format: rgb\n"
        "  model_type: ssd\n"
        "\n"
        "objects:\n"
        "  track: # only what stands here is shown; without it Frigate tracks no more than 'person'\n"
        f"{tracked}"
    )


def _detector(model: DeployableModel, device: Device) -> str:
    if not model.is_compiled:
        return (
            "# This model is NOT compiled for the Edge TPU: it runs on the CPU, to try it out.\n"
            "detectors:\n"
            "  cpu1:\n"
            "    type: cpu\n"
            "    num_threads: 3\n"
        )
    other = "pci for M.2 and PCIe" if device == "usb" else "usb for the stick"
    return f"detectors:\n  coral:\n    type: edgetpu\n    device: {device} # {other}\n"


def _config_check(config: str, files: dict[str, bytes]) -> BundleCheck:
    """Read the configuration back, as Frigate would, and hold it against the files of the bundle."""
    import yaml

    section = yaml.safe_load(config)["model"]
    paths = [section[key].removeprefix(f"{CONFIG_FOLDER}/") for key in ("path", "labelmap_path")]
    missing = [path for path in paths if path not in files]
    if missing:
        return BundleCheck("the configuration fits the files", "fail", f"'{missing[0]}' is not in the bundle")
    shape = parse_tflite(files[paths[0]]).inputs[0].shape
    size = f"{section['width']}x{section['height']}"
    if shape != (1, section["height"], section["width"], 3):
        return BundleCheck("the configuration fits the files", "fail", f"{size}, but the input is {list(shape)}")
    return BundleCheck(
        "the configuration fits the files", "pass", f"{size} rgb nhwc; both paths are in the bundle"
    )


def _order_check(content: bytes) -> BundleCheck:
    graph = parse_tflite(content)
    verdict: Literal["pass", "fail"] = "pass" if plain_order(graph) is None else "fail"
    return BundleCheck("outputs by position", verdict, order_in_words(graph))


def _findings(model: DeployableModel) -> list[Finding]:
    found = [*label_findings(model.head.labels, NAME), *order_findings(model), *operator_findings(model)]
    _, height, width, _ = model.graph.inputs[0].shape
    if not model.is_compiled:
        found.append(
            Finding(
                "not-compiled",
                "warning",
                "The model is not compiled for the Edge TPU: the bundle runs it on the CPU, far slower.",
                f"coralsmith compile {model.file_name}, then bundle the *_edgetpu.tflite.",
            )
        )
    if height != width:
        found.append(
            Finding(
                "not-square",
                "warning",
                f"Frigate stretches square regions to {width}x{height}: the model sees everything distorted.",
                "Train and export the model with a square input.",
                measured=f"{width}x{height}",
                evidence="documented: frigate/util/object.py",
            )
        )
    odd = [label for label in model.head.labels if set(label) & set(_UNSAFE_IN_TOPICS)]
    if odd:
        found.append(
            Finding(
                "label-in-topics",
                "warning",
                f"Frigate uses labels in MQTT topics, where / + # have a meaning of their own: '{odd[0]}'.",
                "Choose other names with --labels.",
            )
        )
    return found


def _readme(model: DeployableModel) -> str:
    name, file = model.name, model.file_name
    log = 'say "TPU found"' if model.is_compiled else "show no error about the model"
    device = (
        ["   With an M.2 or PCIe Coral write `device: pci`, with the stick `device: usb`."]
        if model.is_compiled
        else []
    )
    lines = [
        f"{name} for Frigate",
        "",
        "1. Copy the folder",
        f"     {name}",
        "   into Frigate's config folder, beside its config.yml. That is the folder mounted as /config;",
        "   with the Home Assistant add-on it is addon_configs/..._frigate. Frigate then finds",
        f"     {CONFIG_FOLDER}/{name}/{file}",
        f"     {CONFIG_FOLDER}/{name}/{LABEL_MAP}",
        "",
        f"2. Put the lines of {CONFIG} into Frigate's own config.yml. Its sections `detectors` and `model`",
        "   are replaced; from `objects` take the labels that you want to see, also where a camera has",
        "   an `objects` section of its own.",
        *device,
        "",
        f"3. Restart Frigate. Its log must {log}.",
        "",
        "Nothing is shown? Frigate's detector drops scores below 0.4, and by default an object is shown",
        "when the median of its scores reaches 0.7 (objects: filters: <label>: threshold).",
        "",
    ]
    if not model.is_compiled:
        lines[1:1] = ["", "NOT COMPILED: this model runs on the CPU. It is for trying it out."]
    return "\n".join(lines)
