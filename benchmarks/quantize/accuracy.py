"""What quantization costs: signal to noise of the raw heads, and average precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quantize.process import coralsmith, python_module, run
from benchmarks.quantize.sources import INPUT, Sources
from benchmarks.quantize.speed import CORALSMITH, TENSORFLOW, TENSORFLOW_ADDV2, coco_commands
from benchmarks.quantize.table import print_table
from coralsmith.compat.check import check_graph
from coralsmith.detection.feeding import model_input
from coralsmith.detection.images import ImageFolder
from coralsmith.evaluation.dataset import load_dataset
from coralsmith.evaluation.evaluate import Evaluation, compare, evaluate
from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor, real_outputs
from coralsmith.graph.reader import read_tflite
from coralsmith.quantization.fidelity import ErrorSum
from coralsmith.runtime.detector import Detector

FLOAT = "float model"


@dataclass(frozen=True)
class Heads:
    """Raw outputs for all images: boxes [images, N * 4] and scores [images, N * classes], real numbers."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


def measure_accuracy(sources: Sources) -> dict[str, Any]:
    """Both models of the comparison."""
    return {"coco": _measure_coco(sources), "bccd": _measure_bccd(sources)}


def _measure_coco(sources: Sources) -> dict[str, Any]:
    """Signal to quantization noise ratio of the raw heads on images that no contender has calibrated with."""
    for command in coco_commands(sources).values():
        run(command)
    pixels = list(ImageFolder(sources.coco_val, INPUT.size))
    reference = raw_heads(read_tflite(sources.coco_float()), pixels)
    files = {
        TENSORFLOW: "coco_tensorflow.tflite",
        TENSORFLOW_ADDV2: "coco_tensorflow_addv2.tflite",
        CORALSMITH: "coco_coralsmith.tflite",
    }
    results: dict[str, Any] = {}
    for name, file in files.items():
        graph = read_tflite(sources.work / file)
        results[name] = {"on_edgetpu": _on_edgetpu(graph), **_sqnr(reference, raw_heads(graph, pixels))}
    print_table(
        f"Raw heads against the float model in dB: COCO SSDLite MobileNetV2 300, calibrated on 59 images, "
        f"{len(pixels)} others. Asked: the mean not lower than TensorFlow's by more than 0.3",
        ("", "operators on the Edge TPU", "boxes", "scores", "mean"),
        [(name, r["on_edgetpu"], *_decibels(r)) for name, r in results.items()],
    )
    return results


def _measure_bccd(sources: Sources) -> dict[str, Any]:
    """Average precision lost on the test split."""
    images, work = sources.bccd_calibration(), sources.work
    files = {
        FLOAT: sources.bccd_float,
        TENSORFLOW: work / "bccd_tensorflow.tflite",
        CORALSMITH: work / "bccd_coralsmith.tflite",
    }
    keras = sources.bccd_model / "bccd_ssdlite.keras"
    run(python_module("tensorflow_converter", keras, files[TENSORFLOW], images))
    run(coralsmith("quantize", sources.bccd_float, "--images", images, "-o", files[CORALSMITH], "--quiet"))
    dataset = load_dataset(sources.bccd, "test")
    pixels = list(ImageFolder([image.path for image in dataset.images], INPUT.size))
    reference = raw_heads(read_tflite(files[FLOAT]), pixels)
    evaluations = {name: _evaluate(path, sources, dataset) for name, path in files.items()}
    results: dict[str, Any] = {FLOAT: evaluations[FLOAT].to_json()}
    for name in (TENSORFLOW, CORALSMITH):
        graph = read_tflite(files[name])
        lost = compare(evaluations[name], against=evaluations[FLOAT])
        results[name] = {
            **evaluations[name].to_json(),
            **_sqnr(reference, raw_heads(graph, pixels)),
            "on_edgetpu": _on_edgetpu(graph),
            "drop": lost.drop,
            "drop_interval": lost.drop_interval,
        }
    _print_bccd(results)
    return results


def _print_bccd(results: dict[str, Any]) -> None:
    rows = [(FLOAT, "", "", "", "", f"{results[FLOAT]['ap']:.4f}", "", "")]
    for name in (TENSORFLOW, CORALSMITH):
        r = results[name]
        low, high = r["drop_interval"]
        lost = f"{r['drop']:+.4f}"
        rows.append((name, r["on_edgetpu"], *_decibels(r), f"{r['ap']:.4f}", lost, f"{low:+.4f} .. {high:+.4f}"))
    print_table(
        f"AP lost: BCCD SSDLite 300 (hard-swish, leaky ReLU), calibrated on 80 training images, test split of "
        f"{results[FLOAT]['images']} images, 95 % paired interval. Asked: coralsmith loses at most 0.003",
        ("", "operators on the Edge TPU", "boxes dB", "scores dB", "mean dB", "AP", "lost", "interval"),
        rows,
    )


def raw_heads(graph: Graph, pixels: list[NDArray[np.uint8]]) -> Heads:
    """Run a model on images; outputs are told apart by their last dimension, 4 for boxes."""
    executor = Executor(graph)
    boxes: list[NDArray[np.float64]] = []
    scores: list[NDArray[np.float64]] = []
    for image in pixels:
        executor.invoke(model_input(graph.inputs[0], image[None], INPUT))
        for tensor, value in zip(graph.outputs, real_outputs(executor), strict=True):
            (boxes if tensor.shape[-1] == 4 else scores).append(value.reshape(-1).astype(np.float64))
    return Heads(np.stack(boxes), np.stack(scores))


def _sqnr(reference: Heads, quantized: Heads) -> dict[str, float]:
    """10 log10 of signal over error power of all images: of boxes, of scores, and the mean of the two."""
    boxes, scores = ErrorSum(), ErrorSum()
    boxes.add(reference.boxes, quantized.boxes)
    scores.add(reference.scores, quantized.scores)
    mean = (boxes.sqnr_db + scores.sqnr_db) / 2
    return {"boxes_db": boxes.sqnr_db, "scores_db": scores.sqnr_db, "mean_db": mean}


def _decibels(result: dict[str, Any]) -> tuple[str, str, str]:
    boxes, scores, mean = (f"{result[key]:.2f}" for key in ("boxes_db", "scores_db", "mean_db"))
    return boxes, scores, mean


def _on_edgetpu(graph: Graph) -> str:
    """How many operators the Edge TPU would run, as `coralsmith check` predicts it."""
    report = check_graph(graph)
    return f"{report.ops_edgetpu} of {report.ops_total}"


def _evaluate(path: Path, sources: Sources, dataset: Any) -> Evaluation:
    graph = read_tflite(path)
    head = sources.bccd_head(graph)
    return evaluate(Detector(graph, head).detect, dataset, head.labels)
