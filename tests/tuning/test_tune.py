"""Label-free training: closer to the float model on images it has not seen, and never further away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import ImageDataError, MachineError, TrainingError
from coralsmith.graph import Array, Graph
from coralsmith.graph.writer import serialize
from coralsmith.quantization.boundary import set_input_type
from coralsmith.quantization.options import DetectionOutputs, PixelScale, QuantizationOptions
from coralsmith.quantization.output_error import OutputMeter
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.repair.driver import repair
from coralsmith.tuning.options import TuningOptions
from tests.tiny_detector import tiny_detector, tiny_head
from tests.tuning.test_int8_network import photos

pytestmark = pytest.mark.slow

OPTIONS = QuantizationOptions("per-tensor", input_type="int8", pixels=PixelScale(1 / 127.5, -1.0))
SHORT = TuningOptions(epochs=2, minutes=0, batch=4, threads=1, memory_format="channels-last", learning_rate=0.003)


@pytest.fixture(scope="module")
def model() -> Graph:
    return repair(tiny_detector()).graph


@pytest.fixture(scope="module")
def images(model: Graph) -> list[Array]:
    return photos(model.inputs[0].shape, 24)


def tune(model: Graph, images: list[Array], tuning: TuningOptions = SHORT, **more: Any) -> Quantized:
    from coralsmith.tuning.tune import tune_graph

    return tune_graph(model, tiny_head(), images, OPTIONS, tuning, **more)


def decibels(model: Graph, int8: Graph, images: list[Array], head: DetectionHead | None = None) -> float:
    """Signal to noise of the outputs on the interpreter, as detections see them where there is a head."""
    fed_with_floats = int8.copy()
    set_input_type(fed_with_floats, "float")
    outputs = None if head is None else DetectionOutputs.of(head)
    return OutputMeter(model, images, outputs).decibels(fed_with_floats)


class Interrupted(Exception):
    """What a test throws into a training."""


class StopAt:
    """A reporter that breaks the training off after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.is_training = False

    def step(self, title: str, total: int | None = None) -> None:
        self.is_training = title.startswith("Tune")

    def advance(self, units: int = 1) -> None:
        if self.is_training:
            self.left -= units
            if self.left < 0:
                raise Interrupted

    def note(self, text: str) -> None:
        pass


def test_it_brings_the_int8_model_closer_to_the_float_model_on_images_it_has_not_seen(
    model: Graph, images: list[Array]
) -> None:
    unseen = photos(model.inputs[0].shape, 40)[24:]
    plain = quantize_graph(model, images, OPTIONS)
    tuned = tune(model, images, replace(SHORT, epochs=40, patience=20))
    before, after = (decibels(model, one.graph, unseen, tiny_head()) for one in (plain, tuned))
    assert after > before + 0.2
    finding = next(finding for finding in tuned.findings if finding.rule == "tuned")
    assert finding.measured is not None
    assert float(finding.measured) < 0.95


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(model: Graph, images: list[Array]) -> None:
    first, again = (serialize(tune(model, images).graph) for _ in range(2))
    assert first == again
    assert serialize(tune(model, images, replace(SHORT, seed=1)).graph) != first


def test_a_stopped_training_goes_on_to_the_same_bytes(model: Graph, images: list[Array], tmp_path: Path) -> None:
    file = tmp_path / "tuning.pt"
    with pytest.raises(Interrupted):
        tune(model, images, checkpoint=file, progress=StopAt(3))
    assert file.is_file()
    resumed = StopAt(1000)
    after = serialize(tune(model, images, checkpoint=file, progress=resumed).graph)
    assert after == serialize(tune(model, images).graph)


def test_a_damaged_or_foreign_checkpoint_is_not_used(model: Graph, images: list[Array], tmp_path: Path) -> None:
    file = tmp_path / "tuning.pt"
    expected = serialize(tune(model, images).graph)
    file.write_bytes(b"no checkpoint")
    assert serialize(tune(model, images, checkpoint=file).graph) == expected
    assert serialize(tune(model, images, replace(SHORT, seed=1), checkpoint=file).graph) != expected


def test_training_that_only_harms_is_thrown_away(model: Graph, images: list[Array]) -> None:
    kept = tune(model, images, replace(SHORT, learning_rate=300.0))
    plain = quantize_graph(model, images, OPTIONS)
    assert serialize(kept.graph) == serialize(plain.graph)
    assert "tuning-gained-nothing" in {finding.rule for finding in kept.findings}


def test_it_ends_early_where_nothing_gets_better(model: Graph, images: list[Array]) -> None:
    kept = tune(model, images, replace(SHORT, learning_rate=300.0, epochs=10, patience=2))
    finding = next(finding for finding in kept.findings if finding.rule == "tuning-gained-nothing")
    assert "for 8 steps" in finding.reason  # of 45; a check is made after every fourth


def test_a_training_that_is_ended_by_time_says_so(model: Graph, images: list[Array]) -> None:
    tuned = tune(model, images, replace(SHORT, epochs=100_000, minutes=0.02))
    assert "tuning-stopped-by-time" in {finding.rule for finding in tuned.findings}


def test_a_loss_that_is_not_finite_is_named(model: Graph, images: list[Array], monkeypatch: Any) -> None:
    from coralsmith.tuning.imitation import Imitation

    whole = Imitation.total
    monkeypatch.setattr(Imitation, "total", lambda self, parts: whole(self, parts) * float("nan"))
    with pytest.raises(TrainingError, match="The loss became nan in step 1"):
        tune(model, images)


def test_too_few_images_are_named(model: Graph, images: list[Array]) -> None:
    with pytest.raises(ImageDataError, match="Tuning needs 4 images at least; there are 3"):
        tune(model, images[:3])


def test_a_device_that_is_not_there_is_named(model: Graph, images: list[Array]) -> None:
    with pytest.raises(MachineError, match="torch cannot use the device 'nonsense'"):
        tune(model, images, replace(SHORT, device="nonsense"))


@pytest.mark.parametrize("input_type", ["uint8", "float"])
def test_the_input_gets_the_type_that_was_asked_for(model: Graph, images: list[Array], input_type: Any) -> None:
    from coralsmith.tuning.tune import tune_graph

    tuned = tune_graph(
        model, tiny_head(), images, replace(OPTIONS, input_type=input_type), replace(SHORT, epochs=1)
    )
    assert tuned.graph.inputs[0].dtype == {"uint8": np.uint8, "float": np.float32}[input_type]


def test_a_graph_without_a_head_is_trained_on_its_outputs(model: Graph, images: list[Array]) -> None:
    from coralsmith.tuning.tune import tune_graph

    tuned = tune_graph(model, None, images, OPTIONS, replace(SHORT, epochs=20, patience=20))
    plain = quantize_graph(model, images, OPTIONS)
    before, after = (decibels(model, one.graph, images) for one in (plain, tuned))
    assert after > before


def test_both_memory_formats_are_tried_and_one_is_taken(model: Graph, images: list[Array]) -> None:
    tuned = tune(model, images, replace(SHORT, memory_format="auto", epochs=1))
    reasons = " ".join(finding.reason for finding in tuned.findings if finding.rule.startswith("tun"))
    assert ("channels-last memory" in reasons) != ("contiguous memory" in reasons)


def test_a_quarter_of_few_images_is_held_back_and_no_more_than_a_limit_of_many(images: list[Array]) -> None:
    from coralsmith.tuning.data import MOST_HELD_BACK, split

    for count, expected in ((4, 2), (20, 5), (60, 15), (400, MOST_HELD_BACK)):
        data = split([images[i % len(images)] for i in range(count)], 0, "cpu")
        assert (len(data.held_back), len(data.training)) == (expected, count - expected)


def test_a_gain_that_another_sample_could_turn_round_is_none() -> None:
    from coralsmith.tuning.training import Course

    assert Course(10, [1.0, 0.97], "done", "contiguous").has_gained
    assert not Course(10, [1.0, 0.99], "done", "contiguous").has_gained
