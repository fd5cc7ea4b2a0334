"""Training with labels: the loss on scenes that were never seen falls, and what labels do not say is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coralsmith.detection.head import ScoreSpec
from coralsmith.errors import DetectionHeadError, ImageDataError
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor, real_outputs
from coralsmith.graph.writer import serialize
from coralsmith.quantization.options import PixelScale, QuantizationOptions
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.repair.driver import repair
from coralsmith.tuning.objects import LabelledInputs, Objects
from coralsmith.tuning.options import TuningOptions
from tests.tiny_detector import SIDE, tiny_detector, tiny_head

pytestmark = pytest.mark.slow

OPTIONS = QuantizationOptions("per-tensor", input_type="int8", pixels=PixelScale(1 / 127.5, -1.0))
SHORT = TuningOptions(
    epochs=2, minutes=0, batch=4, threads=1, memory_format="channels-last", learning_rate=0.05, device="cpu"
)


def scenes(count: int, seed: int) -> LabelledInputs:
    """Grey noise with a red or a blue rectangle; the colour is the class."""
    generator = np.random.default_rng(seed)
    images = generator.integers(90, 160, (count, SIDE, SIDE, 3)).astype(np.uint8)
    objects = []
    for image in images:
        top, left = generator.integers(0, SIDE // 2, 2)
        height, width = generator.integers(8, SIDE // 2, 2)
        column = int(generator.integers(2))
        image[top : top + height, left : left + width] = (230, 20, 20) if column == 0 else (20, 20, 230)
        box = np.array([[top, left, top + height, left + width]]) / SIDE
        objects.append(Objects(box, np.array([column]), np.array([False])))
    return LabelledInputs(tiny_head().input.normalise(images), objects, (0, 1))


@pytest.fixture(scope="module")
def model() -> Graph:
    return repair(tiny_detector()).graph


def tune(model: Graph, labelled: LabelledInputs, tuning: TuningOptions = SHORT, **more: Any) -> Quantized:
    from coralsmith.tuning.tune import tune_graph

    return tune_graph(model, tiny_head(), photos(labelled), OPTIONS, tuning, labelled=labelled, **more)


def photos(labelled: LabelledInputs) -> list[Array]:
    return [image[None] for image in labelled.images[:8]]


def loss_and_distance(model: Graph, trained: Graph, unseen: LabelledInputs) -> tuple[float, float]:
    """On the interpreter: the multibox loss, and noise over signal against the float model."""
    import torch

    from coralsmith.tuning.multibox import Multibox

    multibox = Multibox.of(model, tiny_head(), unseen.columns)
    executor, reference = Executor(trained), Executor(model)
    loss = noise = signal = 0.0
    for image, objects in zip(unseen.images, unseen.objects, strict=True):
        is_float = trained.inputs[0].is_float
        executor.invoke(image[None] if is_float else (np.rint((image[None] + 1) * 127.5) - 128).astype(np.int8))
        values = dict(zip(("boxes", "scores"), real_outputs(executor), strict=True))
        loss += float(multibox.loss({name: torch.from_numpy(value) for name, value in values.items()}, [objects]))
        for expected, found in zip(reference.run(image[None]), values.values(), strict=True):
            noise += float(np.square(found - expected).sum())
            signal += float(np.square(expected).sum())
    return loss / len(unseen.images), noise / signal


def test_it_finds_labelled_objects_better_and_the_float_model_holds_it(model: Graph) -> None:
    unseen = scenes(8, 1)
    plain = quantize_graph(model, photos(scenes(32, 0)), OPTIONS)
    before, _ = loss_and_distance(model, plain.graph, unseen)
    free, held = (
        tune(model, scenes(32, 0), replace(SHORT, epochs=12, patience=20, imitation=weight))
        for weight in (0.0, 0.01)
    )
    (of_free, far), (of_held, near) = (loss_and_distance(model, one.graph, unseen) for one in (free, held))
    assert of_free < 0.7 * before
    assert of_held < 0.95 * before
    assert near < 0.1 * far
    finding = next(finding for finding in held.findings if finding.rule == "tuned")
    assert "find the objects of 32 labelled images" in finding.reason


def test_the_same_seed_gives_the_same_bytes_and_other_labels_give_others(model: Graph) -> None:
    labelled = scenes(16, 0)
    first, again = (serialize(tune(model, labelled).graph) for _ in range(2))
    assert first == again
    swapped = [replace(one, columns=1 - one.columns) for one in labelled.objects]
    assert serialize(tune(model, replace(labelled, objects=swapped)).graph) != first


def test_the_loss_mixes_both_and_the_best_state_is_chosen_by_labels_alone() -> None:
    from coralsmith.tuning.imitation import Imitation
    from coralsmith.tuning.multibox import Multibox
    from coralsmith.tuning.objective import Objective

    multibox = Multibox.of(repair(tiny_detector()).graph, tiny_head(), (0, 1))
    objective = Objective(Imitation(None, ["outputs"], []), multibox, 0.25)
    objective.imitation.calibrate({"outputs": 2.0, "labels": 4.0})
    parts = {"outputs": 6.0, "labels": 2.0}
    assert objective.error(parts) == pytest.approx(0.5)
    assert objective.loss(parts) == pytest.approx((0.5 + 0.25 * 3.0) / 1.25)


def test_held_back_images_show_objects_where_most_images_show_none() -> None:
    from coralsmith.tuning.data import split_labelled

    labelled = scenes(40, 0)
    objects = [*labelled.objects[:6], *[Objects.none()] * 34]  # of which a quarter would be ten
    data = split_labelled(replace(labelled, objects=objects), 0, "cpu")
    assert [len(one.boxes) for one in data.held_back_objects] == [1, 1, 1]
    assert len(data.training) == len(data.training_objects) == 37
    for image, one in zip(data.training, data.training_objects, strict=True):
        position = next(i for i, other in enumerate(labelled.images) if np.array_equal(other, image.numpy()))
        assert objects[position] is one


def test_too_few_images_with_objects_are_named(model: Graph) -> None:
    labelled = scenes(8, 0)
    few = [*labelled.objects[:3], *[replace(one, ignored=np.array([True])) for one in labelled.objects[3:]]]
    with pytest.raises(ImageDataError, match="needs 4 images with objects at least; there are 3"):
        tune(model, replace(labelled, objects=few))


def test_a_model_without_a_head_is_refused(model: Graph) -> None:
    from coralsmith.tuning.tune import tune_graph

    labelled = scenes(8, 0)
    with pytest.raises(DetectionHeadError, match="needs a detection head"):
        tune_graph(model, None, photos(labelled), OPTIONS, SHORT, labelled=labelled)


def test_a_softmax_head_with_a_background_is_trained_as_well(model: Graph) -> None:
    import torch

    from coralsmith.tuning.multibox import Multibox
    from coralsmith.tuning.tune import tune_graph

    head = replace(tiny_head(), labels=("thing",), score=ScoreSpec("softmax", background=0))

    def of_one_class(labelled: LabelledInputs) -> LabelledInputs:
        objects = [replace(one, columns=np.ones_like(one.columns)) for one in labelled.objects]
        return replace(labelled, objects=objects, columns=(1,))

    labelled, unseen = of_one_class(scenes(32, 0)), of_one_class(scenes(8, 1))
    multibox = Multibox.of(model, head, (1,))

    def loss(int8: Graph) -> float:
        executor, total = Executor(int8), 0.0
        for image, objects in zip(unseen.images, unseen.objects, strict=True):
            executor.invoke((np.rint((image[None] + 1) * 127.5) - 128).astype(np.int8))
            values = zip(("boxes", "scores"), real_outputs(executor), strict=True)
            total += float(multibox.loss({name: torch.from_numpy(value) for name, value in values}, [objects]))
        return total / len(unseen.images)

    plain = quantize_graph(model, photos(labelled), OPTIONS)
    tuning = replace(SHORT, epochs=8, patience=20, imitation=0.0)
    tuned = tune_graph(model, head, photos(labelled), OPTIONS, tuning, labelled=labelled)
    assert loss(tuned.graph) < 0.8 * loss(plain.graph)
