"""The loss on labelled objects: against closed forms in numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.head import BoxCoder, ScoreSpec
from coralsmith.errors import DetectionHeadError
from coralsmith.repair.driver import repair
from coralsmith.tuning.matching import BACKGROUND, IGNORED
from coralsmith.tuning.objects import Objects
from tests.tiny_detector import tiny_detector, tiny_head

pytestmark = pytest.mark.slow

HEAD = tiny_head()
ANCHORS = len(HEAD.anchors)
FOUND = Objects(np.array([[0.1, 0.2, 0.5, 0.7], [0.5, 0.5, 0.9, 0.8]]), np.array([1, 0]), np.array([False, False]))


def multibox(coder: BoxCoder | None = None) -> Any:
    from coralsmith.tuning.multibox import Multibox

    head = replace(HEAD, box_coder=coder or HEAD.box_coder)
    return Multibox.of(repair(tiny_detector()).graph, head, (0, 1))


def logits(columns: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 2, (2, 5, columns))


TARGETS = np.array([[1, BACKGROUND, IGNORED, BACKGROUND, 2], [BACKGROUND] * 5])


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(values)
    return powers / powers.sum(axis=-1, keepdims=True)


def test_the_focal_loss_is_that_of_the_paper_and_asks_nothing_where_labels_are_silent() -> None:
    import torch

    from coralsmith.tuning.multibox import focal_loss

    values = logits(4)
    expected = 0.0
    for target, row in zip(TARGETS.reshape(-1), values.reshape(-1, 4), strict=True):
        for column in (1, 2):  # of 0 and 3 the labels do not speak
            if target != IGNORED:
                p = 1 / (1 + np.exp(-row[column]))
                truth, alpha = (p, 0.25) if target == column else (1 - p, 0.75)
                expected -= alpha * (1 - truth) ** 2 * np.log(truth)
    found = focal_loss(torch.from_numpy(values), torch.from_numpy(TARGETS), (1, 2))
    assert float(found) == pytest.approx(expected)


def test_three_of_the_hardest_background_anchors_count_for_each_object_and_three_where_there_is_none() -> None:
    import torch

    from coralsmith.tuning.multibox import mined_cross_entropy

    values = np.random.default_rng(1).normal(0, 2, (2, 12, 4))
    targets = np.full((2, 12), BACKGROUND)
    targets[0, :3] = [1, 2, IGNORED]
    chances = softmax(values)
    of_background = -np.log(chances[..., 0] + chances[..., 3])  # 3 is a class that the labels do not know
    expected = -np.log(chances[0, 0, 1]) - np.log(chances[0, 1, 2])
    expected += np.sort(of_background[0, 3:])[-6:].sum() + np.sort(of_background[1])[-3:].sum()
    found = mined_cross_entropy(torch.from_numpy(values), torch.from_numpy(targets), (1, 2))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("coder", [BoxCoder(), BoxCoder("xywh", (1.0, 1.0, 1.0, 1.0))])
def test_what_the_anchors_should_write_decodes_to_the_marked_boxes(coder: BoxCoder) -> None:
    targets = multibox(coder).targets([FOUND], "cpu")
    columns, raw = targets.columns[0].numpy(), targets.boxes[0].numpy()
    assert set(columns) == {BACKGROUND, 0, 1}
    for column, box in zip(FOUND.columns, FOUND.boxes, strict=True):
        rows = columns == column
        decoded = decode_boxes(raw[rows], HEAD.anchors[rows], coder)
        np.testing.assert_allclose(decoded, np.tile(box, (rows.sum(), 1)), atol=1e-6)


@pytest.mark.parametrize("coder", [BoxCoder(), BoxCoder("xywh", (1.0, 1.0, 1.0, 1.0))])
def test_the_box_loss_is_smooth_l1_in_units_of_the_usual_variances_whatever_the_head_has(coder: BoxCoder) -> None:
    import torch

    loss = multibox(coder)
    targets = loss.targets([FOUND], "cpu")
    scales = torch.tensor(coder.scales)
    certain = torch.where(
        targets.columns[..., None] == torch.arange(2), torch.tensor(50.0), torch.tensor(-50.0)
    )  # no class loss is left
    off = torch.tensor([0.5, 0.0, 0.0, 3.0]) / torch.tensor([10.0, 10.0, 5.0, 5.0]) * scales
    values = {loss.head.boxes: targets.boxes + off, loss.head.logits: certain}
    assert float(loss.loss(values, [FOUND])) == pytest.approx(0.5 * 0.5**2 + (3.0 - 0.5), rel=1e-4)


def test_an_image_without_objects_has_a_finite_loss() -> None:
    import torch

    loss = multibox()
    values = {loss.head.boxes: torch.zeros(1, ANCHORS, 4), loss.head.logits: torch.zeros(1, ANCHORS, 2)}
    expected = ANCHORS * 2 * 0.75 * 0.25 * np.log(2)
    assert float(loss.loss(values, [Objects.none()])) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_reaches_the_weights_of_the_int8_model() -> None:
    import torch

    from coralsmith.quantization.quantizer import quantize_graph
    from tests.tuning.test_int8_network import OPTIONS, network, photos

    model = repair(tiny_detector()).graph
    images = photos(model.inputs[0].shape)
    quantized = quantize_graph(model, images, OPTIONS)
    student, loss = network(quantized.graph, quantized.source), multibox()
    values = student.run(torch.from_numpy(images[0]), {loss.head.boxes, loss.head.logits})
    loss.loss(values, [FOUND]).backward()
    weights = {name: value for name, value in student.parameters.items() if name.startswith("steps_")}
    assert len(weights) == 8
    assert all(value.grad is not None and value.grad.any() for value in weights.values())


def test_a_softmax_without_a_background_is_refused() -> None:
    from coralsmith.tuning.multibox import Multibox

    head = replace(HEAD, score=ScoreSpec("softmax"))
    with pytest.raises(DetectionHeadError, match="needs to know the background"):
        Multibox.of(repair(tiny_detector()).graph, head, (0, 1))


def test_a_model_without_a_head_is_refused() -> None:
    from coralsmith.tuning.multibox import Multibox

    with pytest.raises(DetectionHeadError, match="needs a detection head whose scores come from a sigmoid"):
        Multibox.of(repair(tiny_detector()).graph, None, (0, 1))
