"""Quantization-aware training: an int8 graph learns to do what its float graph does, and what labels say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from coralsmith.detection.head import DetectionHead
from coralsmith.graph import Array, Graph
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.boundary import set_input_type
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.tuning.checkpoint import training_key
from coralsmith.tuning.course_findings import course_findings
from coralsmith.tuning.data import MOST_HELD_BACK, Data, split, split_labelled
from coralsmith.tuning.imitation import Imitation
from coralsmith.tuning.int8_network import Int8Network
from coralsmith.tuning.machine import settled_arithmetic, usable_device
from coralsmith.tuning.multibox import Multibox
from coralsmith.tuning.network import FloatNetwork
from coralsmith.tuning.objective import Objective
from coralsmith.tuning.objects import LabelledInputs
from coralsmith.tuning.options import TuningOptions
from coralsmith.tuning.teaching import Lessons, teach


def tune_graph(
    graph: Graph,
    head: DetectionHead | None,
    inputs: Iterable[Array],
    options: QuantizationOptions | None = None,
    tuning: TuningOptions | None = None,
    progress: Progress = SILENT,
    *,
    starts: Sequence[Quantized] = (),
    labelled: LabelledInputs | None = None,
    checkpoint: Path | None = None,
) -> Quantized:
    """Quantize a float graph, and train the int8 graph to reproduce the float graph's outputs on images.

    No label is needed: the float graph says what is right. Where there are labelled images, training is on those,
    with the loss of SSD beside the distance from the float graph. Some images are held back (`data`); what comes
    out is the state with the least error on those, and never worse there than post-training quantization.

    Args:
        graph: A float graph with one input; it is not changed.
        head: Its detection head, by which the outputs are weighted; None treats all outputs alike.
        inputs: Normalised float32 images [1, H, W, C]; held in memory.
        options: Choices about the int8 graph.
        tuning: Choices about the training.
        progress: Told of every step.
        starts: Post-training quantizations of the graph with an int8 input; the one with the least error on the
            held-back images is where training starts. By default what `options` alone give.
        labelled: Labelled images to train with; `inputs` then serve post-training quantization only.
        checkpoint: File that keeps the state of the training; where it holds one of the same, that goes on.

    Returns:
        As `quantize_graph` does.

    Raises:
        UnsupportedModelError: An operator has no int8 form, or none in torch.
        ImageDataError: There are too few images.
        DetectionHeadError: There are labels, but no head that can be trained with them.
        TrainingError: The loss is not finite.
        MachineError: The device is not there.
    """
    options, tuning = options or QuantizationOptions(), tuning or TuningOptions()
    images = list(inputs)
    device = usable_device(tuning.device)
    with settled_arithmetic(tuning.threads):
        if labelled is None:
            data = split(images, tuning.seed, device)
        else:
            data = split_labelled(labelled, tuning.seed, device)
        plain = replace(options, input_type="int8")
        tried = starts or [quantize_graph(graph, images, plain, progress, tuning.threads)]
        start = min(tried, key=lambda one: _head_error(one, tried[0], data, head, options))
        teacher = FloatNetwork(start.source, device)
        network = trainable(start, options, device)
        multibox = None if labelled is None else Multibox.of(start.source, head, labelled.columns)
        objective = Objective(Imitation.of(start.source, head), multibox, tuning.imitation)
        lessons = Lessons(teacher, data, objective, options.pixels, tuning)
        objective.imitation.calibrate(lessons.parts(network))
        aim = "follow the float model" if labelled is None else "find the labelled objects"
        title = f"Tune: train the int8 model to {aim}"
        key = training_key((start.source, start.graph), images, labelled, head, options, tuning)
        course = teach(network, lessons, key, title, progress, checkpoint)
        tuned = network.to_graph() if course.has_gained else start.graph.copy()
    set_input_type(tuned, options.input_type)
    tuned.verify("tuning")
    return replace(start, graph=tuned, findings=[*start.findings, *course_findings(course, tuning, labelled)])


def input_shift(graph: Graph, options: QuantizationOptions) -> float:
    """By how much the integers of an int8 graph's input lie above the normalised image (see `quantize_graph`).

    Zero where the host rounds the normalised values, instead of feeding pixels as they are.
    """
    quant, pixels = graph.inputs[0].quant, options.pixels
    assert quant is not None, "the input of an int8 graph has a scale"
    if pixels is None or not np.isclose(float(quant.scale[0]), pixels.scale, rtol=1e-3):
        return 0.0
    return pixels.scale * (-128 - int(quant.zero_point[0])) - pixels.offset


def trainable(start: Quantized, options: QuantizationOptions, device: str) -> Int8Network:
    """A post-training quantization with an int8 input as a network that can be trained."""
    return Int8Network(start.graph, _weights(start.source), input_shift(start.graph, options), device)


def _head_error(
    candidate: Quantized, first: Quantized, data: Data, head: DetectionHead | None, options: QuantizationOptions
) -> float:
    """The error of the raw outputs on the held-back images, as a multiple of that of the first candidate."""
    if candidate is first:
        return 1.0
    images = data.held_back[:MOST_HELD_BACK]
    device = str(images.device)
    error = Imitation.of(first.source, head)
    error.features.clear()
    with torch.no_grad():
        expected = FloatNetwork(first.source, device).run(images, error.wanted)
        of_first, of_candidate = (
            error.parts(trainable(one, options, device).run(images, error.wanted), expected)
            for one in (first, candidate)
        )
    error.calibrate({name: float(value) for name, value in of_first.items()})
    return float(error.total(of_candidate))


def _weights(graph: Graph) -> dict[str, Array]:
    return {tensor.name: tensor.data for tensor in graph.tensors() if tensor.data is not None and tensor.is_float}
