"""Measures the host part of a detector, before and after the model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.detection.operator_graph import operator_graph

import coralsmith
from benchmarks.host.contenders import CppOperator, SampleCode
from benchmarks.host.timing import Times, time_in_turn
from benchmarks.quantize.__main__ import RESULTS, machine
from benchmarks.quantize.process import REPOSITORY
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.table import print_table
from coralsmith.detection.detections import Detections
from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import DetectionHead, NmsSpec
from coralsmith.detection.head_decoder import HeadDecoder
from coralsmith.detection.images import find_images, load_rgb
from coralsmith.detection.postprocess_op import detach_postprocess_op
from coralsmith.detection.preprocess import Sampler, resize_image
from coralsmith.detection.resampling import sample_bilinear, sample_quickly
from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor
from coralsmith.graph.reader import read_tflite

INPUT = (300, 300)
FRAME = (1080, 1920)
Outputs = list[tuple[NDArray[np.int8], NDArray[np.int8]]]
LIMITS = {
    "coralsmith's usual limits: score 0.01, IoU 0.5": NmsSpec(0.5, 0.01, 100),
    "the TF Object Detection API's: score 1e-8, IoU 0.6": NmsSpec(0.6, 1e-8, 100),
    "what a camera shows: score 0.4, IoU 0.5": NmsSpec(0.5, 0.4, 100),
}


def main() -> None:
    arguments = _arguments()
    facts = machine()
    print(
        f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}; load {facts['load']}; one thread"
    )
    sources = Sources(arguments.shared.resolve(), arguments.work.resolve())
    sources.work.mkdir(parents=True, exist_ok=True)
    graph, head = detach_postprocess_op(read_tflite(arguments.model or _coco_int8(sources)))
    outputs = _outputs(graph, head, sources.coco_val)
    results: dict[str, dict[str, list[float]]] = {}
    for name, limits in LIMITS.items():
        _record(results, name, _decoding(graph, replace(head, nms=limits), outputs, arguments.rounds, name))
    _record(results, "1080p", _resizing(arguments.rounds * 4))
    _record(results, "whole", _whole(graph, head, outputs, arguments.rounds))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "host.json").write_text(json.dumps({"machine": facts, "ms": results}, indent=2) + "\n", "utf-8")


def _decoding(graph: Graph, head: DetectionHead, outputs: Outputs, rounds: int, title: str) -> dict[str, Times]:
    """Decode and suppress the raw int8 heads of real images, three ways."""
    operator = CppOperator(operator_graph(head, *graph.outputs))
    fast = HeadDecoder(head, *graph.outputs, per_class=False)
    each_class = HeadDecoder(head, *graph.outputs)
    for boxes, scores in outputs:
        operator.feed(boxes, scores)
        operator.run()
        _require_same(fast.decode(boxes, scores), operator.found())

    def on(function: Callable[[NDArray[np.int8], NDArray[np.int8]], object]) -> Callable[[int], object]:
        return lambda number: function(*outputs[number])

    functions = {
        "coralsmith, as the operator": on(fast.decode),
        "C++ operator with DEQUANTIZE": lambda _: operator.run(),
        "coralsmith, class by class": on(each_class.decode),
    }
    times = time_in_turn(functions, len(outputs), rounds, lambda number: operator.feed(*outputs[number]))
    sample = SampleCode(head, *graph.outputs)  # apart: it is so slow that it would empty the caches of the others
    times |= time_in_turn({"numpy as in SSD samples": on(sample.detect)}, len(outputs), 2, lambda _: None)
    ours = times["coralsmith, as the operator"]
    found = sum(len(fast.decode(*pair)) for pair in outputs) / len(outputs)
    shape = "x".join(map(str, graph.outputs[1].shape))
    print_table(
        f"Decoding and NMS of int8 heads {shape}, {len(outputs)} photos, {found:.0f} detections on average; "
        f"{title}. All detections equal the operator's.\nAsked: at most the C++ operator's time, and a tenth of "
        "numpy's as in samples",
        ("", "least", "median", "coralsmith/this: least", "median"),
        [
            (
                name,
                f"{t.least:.3f} ms",
                f"{t.median:.3f} ms",
                f"{ours.least / t.least:.2f}",
                f"{ours.median / t.median:.2f}",
            )
            for name, t in times.items()
        ],
    )
    return times


def _whole(graph: Graph, head: DetectionHead, outputs: Outputs, rounds: int) -> dict[str, Times]:
    """Everything that happens on the host for one frame, before and after the model."""
    frame, tensor = _frame(), np.empty((1, *INPUT, 3), np.uint8)
    decoder = HeadDecoder(head, *graph.outputs, per_class=False)

    def whole(sample: Sampler) -> Callable[[int], object]:
        def run(number: int) -> Detections:
            resize_image(frame, INPUT, out=tensor[0], sample=sample)
            return decoder.decode(*outputs[number])

        return run

    functions = {"beside OpenCV": whole(sample_quickly), "numpy alone": whole(sample_bilinear)}
    times = time_in_turn(functions, len(outputs), rounds, lambda _: None)
    print_table(
        "A 1920x1080 frame, before and after the model. Goal: at most 2 ms", ("", "least", "median"), _rows(times)
    )
    return times


def _frame() -> NDArray[np.uint8]:
    """A frame of Full HD with soft colours."""
    noise = np.random.default_rng(0).integers(0, 256, (FRAME[0] // 8, FRAME[1] // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize(FRAME[::-1], Image.Resampling.BICUBIC))


def _rows(times: dict[str, Times]) -> list[tuple[str, ...]]:
    return [(name, f"{t.least:.3f} ms", f"{t.median:.3f} ms") for name, t in times.items()]


def _require_same(found: Detections, expected: Detections) -> None:
    """The same boxes in the same order; a measurement of anything else would mean nothing."""
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)


def _resizing(rounds: int) -> dict[str, Times]:
    """A frame to the model's input, straight into it."""
    import cv2  # imported by the program: coralsmith then uses it too

    cv2.setNumThreads(1)
    frame, tensor = _frame(), np.empty((1, *INPUT, 3), np.uint8)

    def pillow(*method: Image.Resampling) -> Callable[[int], None]:
        def resize(_: int) -> None:
            tensor[0] = np.asarray(Image.fromarray(frame).resize(INPUT, *method))

        return resize

    def opencv(_: int) -> None:
        tensor[0] = cv2.resize(frame, INPUT)

    functions: dict[str, Callable[[int], object]] = {
        "coralsmith beside OpenCV": lambda _: resize_image(frame, INPUT, out=tensor[0], sample=sample_quickly),
        "OpenCV, its default": opencv,
        "coralsmith alone (numpy)": lambda _: resize_image(frame, INPUT, out=tensor[0], sample=sample_bilinear),
        "Pillow, its default (bicubic)": pillow(),
        "Pillow, bilinear": pillow(Image.Resampling.BILINEAR),
    }
    times = time_in_turn(functions, 1, rounds, lambda _: None)
    print_table(
        "1920x1080 RGB to 300x300 in the input's memory. Asked: at most 1.2 times the faster of Pillow's and "
        "OpenCV's default",
        ("", "least", "median"),
        _rows(times),
    )
    return times


def _coco_int8(sources: Sources) -> Path:
    """The COCO detector converted, with the operator; made once."""
    folder = sources.work / "coco"
    model = folder / "coco_ssdlite_frozen_int8.tflite"
    if not model.is_file():
        pb = sources.shared / "models" / "coco_ssdlite_mobilenet_v2" / "coco_ssdlite_frozen.pb"
        coralsmith.convert(pb, sources.coco_train, folder, compiler="none")
    return model


def _outputs(graph: Graph, head: DetectionHead, images: Path) -> Outputs:
    executor = Executor(graph)
    outputs = []
    for path in find_images(images):
        pixels = resize_image(load_rgb(path), head.input.size, head.input.resize)
        executor.invoke(model_input(graph.inputs[0], pixels[None], head.input))
        boxes, scores = (executor.value(tensor) for tensor in graph.outputs)
        outputs.append((boxes, scores))
    return outputs


def _record(results: dict[str, dict[str, list[float]]], title: str, times: dict[str, Times]) -> None:
    results[title] = {name: [t.least, t.median] for name, t in times.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", type=Path, help="converted int8 model with the operator (default: COCO, made once)"
    )
    parser.add_argument("--rounds", type=int, default=30, help="runs on each photo (default 30)")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "host", help="scratch folder, kept")
    return parser.parse_args()
