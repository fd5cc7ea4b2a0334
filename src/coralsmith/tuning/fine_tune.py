"""Training of a float graph with labels, before it is quantized: the loop of `tune_graph` without rounding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coralsmith.detection.head import DetectionHead
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.tuning.checkpoint import training_key
from coralsmith.tuning.course_findings import course_findings
from coralsmith.tuning.data import split_labelled
from coralsmith.tuning.float_network import TrainableFloatNetwork
from coralsmith.tuning.imitation import Imitation
from coralsmith.tuning.machine import settled_arithmetic, usable_device
from coralsmith.tuning.multibox import Multibox
from coralsmith.tuning.network import FloatNetwork
from coralsmith.tuning.objective import LABELS, Objective
from coralsmith.tuning.objects import LabelledInputs
from coralsmith.tuning.options import TuningOptions
from coralsmith.tuning.teaching import Lessons, teach
from coralsmith.tuning.tune import trainable


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A float graph that was trained.

    Attributes:
        graph: The graph; as it was where training only harmed it.
        findings: What is to be said of the training.
    """

    graph: Graph
    findings: list[Finding]


def fine_tune_graph(
    graph: Graph,
    head: DetectionHead | None,
    inputs: Iterable[Array],
    labelled: LabelledInputs,
    options: QuantizationOptions | None = None,
    tuning: TuningOptions | None = None,
    progress: Progress = SILENT,
    *,
    checkpoint: Path | None = None,
) -> FineTuned:
    """Train a float graph to find labelled objects, while it goes on following what it was.

    The unit of the distance from what it was is that of int8: what plain post-training quantization of the graph
    makes of it. So `TuningOptions.imitation` means the same here as for an int8 graph.

    Args:
        graph: A float graph with one input; it is not changed.
        head: Its detection head.
        inputs: Normalised float32 images [1, H, W, C], for that quantization.
        labelled: Labelled images to train with.
        options: Choices about int8.
        tuning: Choices about the training.
        progress: Told of every step.
        checkpoint: File that keeps the state of the training; where it holds one of the same, that goes on.

    Raises:
        UnsupportedModelError: An operator has no form in torch.
        ImageDataError: There are too few images.
        DetectionHeadError: The head cannot be trained.
        TrainingError: The loss is not finite.
        MachineError: The device is not there.
    """
    options, tuning = options or QuantizationOptions(), tuning or TuningOptions()
    plain = QuantizationOptions(options.weights, input_type="int8", pixels=options.pixels)
    images = list(inputs)
    device = usable_device(tuning.device)
    with settled_arithmetic(tuning.threads):
        data = split_labelled(labelled, tuning.seed, device)
        multibox = Multibox.of(graph, head, labelled.columns)
        objective = Objective(Imitation.of(graph, head), multibox, tuning.imitation)
        lessons = Lessons(FloatNetwork(graph, device), data, objective, options.pixels, tuning)
        int8 = quantize_graph(graph, images, plain, progress, tuning.threads)
        network = TrainableFloatNetwork(graph, data.held_back[: lessons.batch], device)
        as_int8 = lessons.parts(trainable(int8, plain, device))
        objective.imitation.calibrate({**as_int8, LABELS: lessons.parts(network)[LABELS]})
        key = training_key([graph], images, labelled, head, options, tuning)
        title = "Tune: train the float model to find the labelled objects"
        course = teach(network, lessons, key, title, progress, checkpoint)
    trained = network.to_graph() if course.has_gained else graph.copy()
    return FineTuned(trained, course_findings(course, tuning, labelled, form="float"))
