"""Label-free quantization-aware training: an int8 graph learns to compute what its float graph computes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import ImageDataError, MachineError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.boundary import set_input_type
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.tuning.augmentation import vary
from coralsmith.tuning.imitation import Imitation
from coralsmith.tuning.int8_network import Int8Network
from coralsmith.tuning.network import FloatNetwork, Network, carries_batches
from coralsmith.tuning.options import DEFAULT_STEPS, MemoryFormat, TuningOptions
from coralsmith.tuning.training import Course, Task, train

HELD_BACK: Final = 0.1
MOST_HELD_BACK: Final = 24
FEWEST_IMAGES: Final = 4

RATES: Final = {"moved": 1.0, "steps": 1.0, "gain": 0.05, "bias": 1.0}
"""Learning rates as factors of that of weights, which move in steps: the ends of ranges move in widths, weight
scales in shares of themselves, biases in steps of the output."""


@dataclass(frozen=True)
class Data:
    """Images to train with and others to check with: float32 [N, H, W, C], normalised, on the device."""

    training: Any
    held_back: Any


def tune_graph(
    graph: Graph,
    head: DetectionHead | None,
    inputs: Iterable[Array],
    options: QuantizationOptions | None = None,
    tuning: TuningOptions | None = None,
    progress: Progress = SILENT,
    *,
    starts: Sequence[QuantizationOptions] | None = None,
    checkpoint: Path | None = None,
) -> Quantized:
    """Quantize a float graph, and train the int8 graph to reproduce the float graph's outputs on images.

    No label is needed: the float graph says what is right. A tenth of the images is held back; what comes out is
    the state with the least error on those, and never worse there than post-training quantization.

    Args:
        graph: A float graph with one input; it is not changed.
        head: Its detection head, by which the outputs are weighted; None treats all outputs alike.
        inputs: Normalised float32 images [1, H, W, C]; held in memory.
        options: Choices about the int8 graph.
        tuning: Choices about the training.
        progress: Told of every step.
        starts: Ways of post-training quantization; the one with the least error on the held-back images is
            where training starts; by default `options` alone.
        checkpoint: File that keeps the state of the training; where it holds one of the same, that goes on.

    Returns:
        As `quantize_graph` does.

    Raises:
        UnsupportedModelError: An operator has no int8 form, or none in torch.
        ImageDataError: There are too few images.
        TrainingError: The loss is not finite.
        MachineError: The device is not there.
    """
    options, tuning = options or QuantizationOptions(), tuning or TuningOptions()
    images = list(inputs)
    if len(images) < FEWEST_IMAGES:
        raise ImageDataError(
            f"Tuning needs {FEWEST_IMAGES} images at least; there are {len(images)}.",
            hint="Give a folder of typical photos with --images; some hundred do well.",
        )
    device = _device(tuning.device)
    with _settled_arithmetic(tuning.threads):
        data = _split(np.concatenate(images), tuning.seed, device)
        tried = [
            quantize_graph(graph, images, replace(one, input_type="int8"), progress, tuning.threads)
            for one in starts or [options]
        ]
        start = min(tried, key=lambda one: _head_error(one, tried[0], data, head, options))
        teacher = FloatNetwork(start.source, device)
        network = _trainable(start, options, device)
        key = _key(start, images, options, tuning)
        course = _imitate(teacher, network, data, head, options, tuning, key, progress, checkpoint)
        tuned = network.to_graph() if min(course.errors) < course.errors[0] else start.graph.copy()
    set_input_type(tuned, options.input_type)
    tuned.verify("tuning")
    return replace(start, graph=tuned, findings=[*start.findings, *_findings(course, tuning)])


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
    device = str(data.held_back.device)
    error = Imitation.of(first.source, head)
    error.features.clear()
    with torch.no_grad():
        expected = FloatNetwork(first.source, device).run(data.held_back, error.wanted)
        of_first, of_candidate = (
            error.parts(_trainable(one, options, device).run(data.held_back, error.wanted), expected)
            for one in (first, candidate)
        )
    error.calibrate({name: float(value) for name, value in of_first.items()})
    return float(error.total(of_candidate))


def _imitate(
    teacher: Network,
    student: Int8Network,
    data: Data,
    head: DetectionHead | None,
    options: QuantizationOptions,
    tuning: TuningOptions,
    key: str,
    progress: Progress,
    checkpoint: Path | None,
) -> Course:
    error = Imitation.of(teacher.graph, head)
    many = carries_batches(teacher, data.training)
    batch = min(tuning.batch, len(data.training)) if many else 1
    with torch.no_grad():
        expected = [teacher.run(part, error.wanted) for part in _parts(data.held_back, batch)]

    def parts(form: MemoryFormat) -> dict[str, float]:
        """Mean over the held-back images."""
        sums: dict[str, float] = {}
        with torch.no_grad():
            for part, wanted in zip(_parts(data.held_back, batch), expected, strict=True):
                found = error.parts(student.run(in_format(part, form), error.wanted), wanted)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + float(value) * len(part) / len(data.held_back)
        return sums

    def loss(step: int, form: MemoryFormat) -> Any:
        generator = np.random.default_rng((tuning.seed, step))
        chosen = _drawn(len(data.training), batch, step, tuning.seed)
        seen = in_format(vary(data.training[chosen], generator, options.pixels).images, form)
        with torch.no_grad():
            wanted = teacher.run(seen, error.wanted)
        return error.total(error.parts(student.run(seen, error.wanted), wanted))

    error.calibrate(parts("channels-last"))
    steps = planned_steps(len(data.training), batch, tuning)
    progress.step("Tune: train the int8 model to follow the float model", steps)
    task = Task(loss, lambda form: float(error.total(parts(form))), RATES, steps, key, error.unit)
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


def _split(images: Array, seed: int, device: str) -> Data:
    order = np.random.default_rng(seed).permutation(len(images))
    held_back = min(MOST_HELD_BACK, max(2, round(HELD_BACK * len(images))))
    everything = torch.from_numpy(images).to(device)
    return Data(everything[order[held_back:]], everything[order[:held_back]])


def _weights(graph: Graph) -> dict[str, Array]:
    return {tensor.name: tensor.data for tensor in graph.tensors() if tensor.data is not None and tensor.is_float}


def _key(start: Quantized, images: list[Array], options: QuantizationOptions, tuning: TuningOptions) -> str:
    hasher = hashlib.sha256()
    for model in (start.source, start.graph):
        hasher.update(serialize_for_interpreter(model)[0])
    for image in images:
        hasher.update(image.tobytes())
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


def _findings(course: Course, tuning: TuningOptions) -> list[Finding]:
    least = min(course.errors) / course.errors[0]
    found = [
        Finding(
            "tuned" if least < 1 else "tuning-gained-nothing",
            "info" if least < 1 else "warning",
            f"Trained for {course.steps} steps ({course.memory_format} memory) to follow the float model; the "
            "error on held-back images is given as a share of that after post-training quantization.",
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
