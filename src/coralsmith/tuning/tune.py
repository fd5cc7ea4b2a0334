"""Quantization-aware training: an int8 graph learns to do what its float graph does, and what labels say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import MachineError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.boundary import set_input_type
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.tuning.augmentation import vary
from coralsmith.tuning.data import MOST_HELD_BACK, Data, split, split_labelled
from coralsmith.tuning.imitation import Imitation
from coralsmith.tuning.int8_network import Int8Network
from coralsmith.tuning.multibox import Multibox
from coralsmith.tuning.network import FloatNetwork, Network, carries_batches
from coralsmith.tuning.objective import Objective
from coralsmith.tuning.objects import LabelledInputs
from coralsmith.tuning.options import DEFAULT_STEPS, MemoryFormat, TuningOptions
from coralsmith.tuning.training import Course, Task, train

RATES: Final = {"moved": 1.0, "steps": 1.0, "gain": 0.05, "bias": 1.0}
"""Learning rates as factors of that of weights, which move in steps: the ends of ranges move in widths, weight
scales in shares of themselves, biases in steps of the output."""


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
    with the loss of SSD beside the distance from the float graph. A tenth of the images is held back; what comes
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
    device = _device(tuning.device)
    with _settled_arithmetic(tuning.threads):
        if labelled is None:
            data = split(images, tuning.seed, device)
        else:
            data = split_labelled(labelled, tuning.seed, device)
        plain = replace(options, input_type="int8")
        tried = starts or [quantize_graph(graph, images, plain, progress, tuning.threads)]
        start = min(tried, key=lambda one: _head_error(one, tried[0], data, head, options))
        teacher = FloatNetwork(start.source, device)
        network = _trainable(start, options, device)
        multibox = None if labelled is None else Multibox.of(start.source, head, labelled.columns)
        objective = Objective(Imitation.of(start.source, head), multibox, tuning.imitation)
        key = _key(start, images, labelled, options, tuning)
        course = _train(teacher, network, data, objective, options, tuning, key, progress, checkpoint)
        tuned = network.to_graph() if min(course.errors) < course.errors[0] else start.graph.copy()
    set_input_type(tuned, options.input_type)
    tuned.verify("tuning")
    return replace(start, graph=tuned, findings=[*start.findings, *_findings(course, tuning, labelled)])


def input_shift(graph: Graph, options: QuantizationOptions) -> float:
    """By how much the integers of an int8 graph's input lie above the normalised image (see `quantize_graph`).

    Zero where the host rounds the normalised values, instead of feeding pixels as they are.
    """
    quant, pixels = graph.inputs[0].quant, options.pixels
    assert quant is not None, "the input of an int8 graph has a scale"
    if pixels is None or not np.isclose(float(quant.scale[0]), pixels.scale, rtol=1e-3):
        return 0.0
    return pixels.scale * (-128 - int(quant.zero_point[0])) - pixels.offset


def _trainable(start: Quantized, options: QuantizationOptions, device: str) -> Int8Network:
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
            error.parts(_trainable(one, options, device).run(images, error.wanted), expected)
            for one in (first, candidate)
        )
    error.calibrate({name: float(value) for name, value in of_first.items()})
    return float(error.total(of_candidate))


def _train(
    teacher: Network,
    student: Int8Network,
    data: Data,
    objective: Objective,
    options: QuantizationOptions,
    tuning: TuningOptions,
    key: str,
    progress: Progress,
    checkpoint: Path | None,
) -> Course:
    many = carries_batches(teacher, data.training)
    batch = min(tuning.batch, len(data.training)) if many else 1
    with torch.no_grad():
        expected = [teacher.run(part, objective.wanted) for part in _parts(data.held_back, batch)]

    def parts(form: MemoryFormat) -> dict[str, float]:
        """Mean over the held-back images."""
        sums: dict[str, float] = {}
        batches = zip(_parts(data.held_back, batch), _parts(data.held_back_objects, batch), expected, strict=True)
        with torch.no_grad():
            for part, objects, wanted in batches:
                found = objective.parts(student.run(in_format(part, form), objective.wanted), wanted, objects)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + float(value) * len(part) / len(data.held_back)
        return sums

    def loss(step: int, form: MemoryFormat) -> Any:
        generator = np.random.default_rng((tuning.seed, step))
        chosen = _drawn(len(data.training), batch, step, tuning.seed)
        views = vary(data.training[chosen], generator, options.pixels)
        seen = in_format(views.images, form)
        places = zip(chosen.tolist(), views.windows, views.mirrored, strict=True)
        objects = [data.training_objects[i].seen_through(window, mirrored) for i, window, mirrored in places]
        with torch.no_grad():
            wanted = teacher.run(seen, objective.wanted)
        return objective.loss(objective.parts(student.run(seen, objective.wanted), wanted, objects))

    objective.imitation.calibrate(parts("channels-last"))
    steps = planned_steps(len(data.training), batch, tuning)
    aim = "follow the float model" if objective.multibox is None else "find the labelled objects"
    progress.step(f"Tune: train the int8 model to {aim}", steps)
    task = Task(loss, lambda form: float(objective.error(parts(form))), RATES, steps, key, objective.unit)
    return train(student, task, tuning, progress, checkpoint)


def planned_steps(images: int, batch: int, tuning: TuningOptions) -> int:
    """How many steps the training is planned to have."""
    if tuning.epochs is None:
        return DEFAULT_STEPS * tuning.batch // batch
    return max(1, tuning.epochs * images // batch)


def in_format(images: Any, form: MemoryFormat) -> Any:
    """NHWC images whose memory lies in the given format."""
    if form == "channels-last":
        return images.contiguous()
    return images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)


def _parts(images: Any, size: int) -> Iterator[Any]:
    for first in range(0, len(images), size):
        yield images[first : first + size]


def _drawn(count: int, batch: int, step: int, seed: int) -> Any:
    """The images of a step: all of them in a new order, again and again."""
    places = [divmod(place, count) for place in range(step * batch, (step + 1) * batch)]
    orders = {epoch: np.random.default_rng((seed, epoch, count)).permutation(count) for epoch, _ in places}
    return torch.tensor([int(orders[epoch][place]) for epoch, place in places])


def _weights(graph: Graph) -> dict[str, Array]:
    return {tensor.name: tensor.data for tensor in graph.tensors() if tensor.data is not None and tensor.is_float}


def _key(
    start: Quantized,
    images: list[Array],
    labelled: LabelledInputs | None,
    options: QuantizationOptions,
    tuning: TuningOptions,
) -> str:
    hasher = hashlib.sha256()
    for model in (start.source, start.graph):
        hasher.update(serialize_for_interpreter(model)[0])
    for image in images:
        hasher.update(image.tobytes())
    if labelled is not None:
        hasher.update(labelled.images.tobytes())
        for one in labelled.objects:
            hasher.update(one.boxes.tobytes() + one.columns.tobytes() + one.ignored.tobytes())
        hasher.update(repr(labelled.columns).encode())
    hasher.update(repr((asdict(options), asdict(tuning), torch.__version__)).encode())
    return hasher.hexdigest()


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise MachineError(
            f"torch cannot use the device '{wanted}'.", hint="--device cpu works everywhere."
        ) from error
    return wanted


@contextmanager
def _settled_arithmetic(threads: int) -> Iterator[None]:
    """The same sums in every run: a fixed number of threads, deterministic kernels, no shortened mantissas."""
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before[1:]


def _findings(course: Course, tuning: TuningOptions, labelled: LabelledInputs | None) -> list[Finding]:
    aim, error = (
        ("follow the float model", "error")
        if labelled is None
        else (f"find the objects of {len(labelled.images)} labelled images", "loss")
    )
    least = min(course.errors) / course.errors[0]
    found = [
        Finding(
            "tuned" if least < 1 else "tuning-gained-nothing",
            "info" if least < 1 else "warning",
            f"Trained for {course.steps} steps ({course.memory_format} memory) to {aim}; the "
            f"{error} on held-back images is given as a share of that after post-training quantization.",
            fix="" if least < 1 else "The post-training quantized model was kept. More images or epochs may help.",
            measured=f"{least:.3f}",
            limit="1",
            evidence="measured with integers that equal those of the int8 kernels",
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
