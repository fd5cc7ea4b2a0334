"""A full-integer detector whose boxes and scores are its pixels: real in every part that a host sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coralsmith.compiled.package import CUSTOM_OPERATOR
from coralsmith.deploy.deployable import DeployableModel
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec, Resize, ScoreSpec
from coralsmith.detection.postprocess_op import attach_postprocess_op, detach_postprocess_op, find_postprocess_op
from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.graph.writer import serialize, write_tflite
from tests.builders import activation, constant
from tests.builders import graph as build
from tests.compiled.compiled_files import package, package_options

SIDE = 8
ROWS = SIDE * SIDE * 3 // 4
LABELS = ("left", "right", "upper")


def pixel_head(
    activation: str = "none", *, labels: tuple[str, ...] = LABELS, resize: Resize = "stretch"
) -> DetectionHead:
    """The head of `pixel_graph`: four columns of scores, the first the background."""
    random = np.random.default_rng(3)
    anchors = np.concatenate([random.uniform(0.1, 0.9, (ROWS, 2)), random.uniform(0.1, 0.3, (ROWS, 2))], axis=1)
    return DetectionHead(
        input=InputSpec((SIDE, SIDE), 1 / 127.5, -1.0, resize=resize),
        boxes="boxes",
        scores="scores",
        anchors=anchors.astype(np.float32),
        labels=labels,
        score=ScoreSpec(activation, 0 if len(labels) == 3 else None),  # type: ignore[arg-type]
        nms=NmsSpec(0.6, 0.3, 10),
        evidence="built by a test",
    )


def pixel_graph(dtype: Any = np.uint8) -> Graph:
    """Raw heads: boxes [1, 48, 4] are the normalised pixels, scores [1, 48, 4] what of them is above zero."""
    lowest = int(np.iinfo(dtype).min)
    step = Quant.per_tensor(1 / 127.5, 128 + lowest)
    image = activation("image", (1, SIDE, SIDE, 3), dtype, step)
    shape = constant("shape", [1, ROWS, 4], np.int32)
    boxes = Tensor("boxes", (1, ROWS, 4), np.dtype(dtype), quant=step)
    scores = Tensor("scores", (1, ROWS, 4), np.dtype(dtype), quant=Quant.per_tensor(1 / 256, lowest))
    return build(
        [Op("RESHAPE", [image, shape], [boxes], {"new_shape": (1, ROWS, 4)}), Op("QUANTIZE", [boxes], [scores])],
        [image],
        [boxes, scores],
    )


def decoding_graph(dtype: Any = np.uint8, head: DetectionHead | None = None) -> Graph:
    """`pixel_graph` with TFLite_Detection_PostProcess."""
    return attach_postprocess_op(pixel_graph(dtype), head or pixel_head())


def compiled_stand_in(dtype: Any = np.uint8) -> Graph:
    """`decoding_graph` with a stub of a program in front, as compiled files have it; nothing can run it."""
    graph = decoding_graph(dtype)
    boxes, scores = graph.ops[0].output, graph.ops[1].output
    program = package_options(package())
    stub = Op("CUSTOM", [graph.inputs[0]], [boxes, scores], custom_code=CUSTOM_OPERATOR, custom_options=program)
    graph.ops[:2] = [stub]
    return graph


def deployable(graph: Graph, head: DetectionHead | None = None, **changes: Any) -> DeployableModel:
    """A graph as `bundle` sees it."""
    head = head or pixel_head()
    if find_postprocess_op(graph) is not None:
        _, inner = detach_postprocess_op(graph)
        head = replace(inner, input=head.input, labels=head.labels)
    content = serialize(graph)
    model = DeployableModel("pixels", "pixels_int8.tflite", content, graph, head, False, content)
    return replace(model, **changes)


def write_model(folder: Path, graph: Graph | None = None, head: DetectionHead | None = None) -> Path:
    """A model with its head file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pixels_int8.tflite"
    write_tflite(graph or decoding_graph(), path)
    (head or pixel_head()).save(folder / "head.json")
    return path


def write_photos(folder: Path, count: int = 4) -> Path:
    """Photos of noise that has the model's size, so that each pixel matters."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(noise(number)).save(folder / f"{number}.png")
    return folder


def noise(seed: int) -> np.ndarray:
    """An image of the model's size."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
