"""Training a float model with labels: it finds unseen objects better, and stays near what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor
from coralsmith.graph.writer import serialize
from coralsmith.progress import SILENT, Progress
from coralsmith.repair.driver import repair
from tests.tiny_detector import tiny_detector, tiny_head
from tests.tuning.test_labels import OPTIONS, SHORT, loss_and_distance, photos, scenes
from tests.tuning.test_tune import Interrupted, StopAt

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> Graph:
    return repair(tiny_detector()).graph


def test_an_untouched_network_is_the_graph_and_a_changed_one_is_the_graph_it_becomes(model: Graph) -> None:
    import torch

    from coralsmith.tuning.float_network import TrainableFloatNetwork

    images = scenes(2, 0).images
    names = [tensor.name for tensor in model.outputs]
    network = TrainableFloatNetwork(model, torch.from_numpy(images))
    for expected_of in (model, None):
        executor = Executor(expected_of or network.to_graph())
        with torch.no_grad():
            found = network.run(torch.from_numpy(images[:1]), names)
        for name, expected in zip(names, executor.run(images[:1]), strict=True):
            assert np.allclose(found[name].numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        with torch.no_grad():
            for parameter in network.parameters.values():
                parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))


def test_all_weights_and_biases_learn_and_the_units_are_steps_of_int8(model: Graph) -> None:
    import torch

    from coralsmith.tuning.float_network import TrainableFloatNetwork

    network = TrainableFloatNetwork(model, torch.from_numpy(scenes(2, 0).images))
    layers = [op for op in model.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    weights = [value for name, value in network.parameters.items() if name.startswith("steps")]
    assert len(weights) == len(layers) and len(network.parameters) == 2 * len(layers)
    assert all(float(value.detach().abs().max()) == pytest.approx(127, rel=1e-5) for value in weights)
    outputs = network.run(torch.from_numpy(scenes(1, 1).images), [tensor.name for tensor in model.outputs])
    sum(value.square().sum() for value in outputs.values()).backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in network.parameters.values())


def test_it_finds_labelled_objects_better_and_what_it_was_holds_it(model: Graph) -> None:
    from coralsmith.tuning.fine_tune import fine_tune_graph

    labelled, unseen = scenes(32, 0), scenes(8, 1)
    before, _ = loss_and_distance(model, model, unseen)
    results = {}
    for weight in (0.0, 0.01):
        tuning = replace(SHORT, epochs=20, patience=20, imitation=weight)
        trained = fine_tune_graph(model, tiny_head(), photos(labelled), labelled, OPTIONS, tuning)
        results[weight] = loss_and_distance(model, trained.graph, unseen)
        finding = next(finding for finding in trained.findings if finding.rule == "tuned")
        assert finding.reason.startswith("The float model was trained for")
    assert results[0.0][0] < 0.7 * before and results[0.01][0] < 0.95 * before
    assert results[0.01][1] < 0.3 * results[0.0][1]


def test_a_stopped_training_goes_on_to_the_same_bytes_and_the_given_graph_stays(
    model: Graph, tmp_path: Path
) -> None:
    from coralsmith.tuning.fine_tune import fine_tune_graph

    labelled, before, file = scenes(16, 0), serialize(model), tmp_path / "tuning.pt"
    longer = replace(SHORT, epochs=8)

    def trained(progress: Progress = SILENT, checkpoint: Path | None = None) -> bytes:
        result = fine_tune_graph(
            model, tiny_head(), photos(labelled), labelled, OPTIONS, longer, progress, checkpoint=checkpoint
        )
        return serialize(result.graph)

    whole = trained()
    with pytest.raises(Interrupted):
        trained(StopAt(3), file)
    assert file.is_file()
    assert trained(checkpoint=file) == whole != before
    assert serialize(model) == before


def test_training_that_only_harms_is_thrown_away(model: Graph) -> None:
    from coralsmith.tuning.fine_tune import fine_tune_graph

    labelled = scenes(16, 0)
    tuning = replace(SHORT, learning_rate=3000.0)
    kept = fine_tune_graph(model, tiny_head(), photos(labelled), labelled, OPTIONS, tuning)
    image = labelled.images[:1]
    for expected, found in zip(Executor(model).run(image), Executor(kept.graph).run(image), strict=True):
        assert np.array_equal(expected, found)
    assert "tuning-gained-nothing" in {finding.rule for finding in kept.findings}
