"""The distance from the float model: never negative, zero at equality, blind to what int8 cannot tell apart."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def parts(activation: str, teacher: Any, student: Any) -> dict[str, float]:
    import torch

    from coralsmith.tuning.imitation import HeadNames, Imitation

    background = 0 if activation == "softmax" else None
    imitation = Imitation(HeadNames("boxes", "logits", activation, background), ["boxes", "logits"], [])
    boxes = torch.zeros((*teacher.shape[:2], 4))
    found = imitation.parts({"boxes": boxes, "logits": student}, {"boxes": boxes, "logits": teacher})
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_no_student_is_nearer_than_the_teacher_itself(activation: str) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    teacher = 3 * torch.randn((2, 200, 21), generator=generator) - 4
    teacher[..., 0] += 10  # as a background that is nearly sure
    assert parts(activation, teacher, teacher)["scores"] == pytest.approx(0, abs=1e-4)
    for change in (
        0.3 * torch.randn(teacher.shape, generator=generator),
        *(torch.eye(21)[0] * s for s in (3, -3)),
    ):
        found = parts(activation, teacher, teacher + change)
        assert found["scores"] > 0 and found["probabilities"] > 0


def test_the_divergence_is_that_of_the_textbook_where_nothing_is_clipped() -> None:
    import torch
    from torch.distributions import Bernoulli, Categorical, kl_divergence

    generator = torch.Generator().manual_seed(1)
    teacher, student = (torch.randn((1, 50, 4), generator=generator) for _ in range(2))
    expected = kl_divergence(Bernoulli(logits=teacher), Bernoulli(logits=student)).sum()
    assert parts("sigmoid", teacher, student)["scores"] == pytest.approx(float(expected), rel=1e-4)
    expected = kl_divergence(Categorical(logits=teacher), Categorical(logits=student)).sum()
    assert parts("softmax", teacher, student)["scores"] == pytest.approx(float(expected), rel=1e-4)


def test_probabilities_that_int8_cannot_tell_from_zero_are_all_the_same() -> None:
    import torch

    teacher = torch.full((1, 10, 3), -20.0)
    assert parts("sigmoid", teacher, torch.full((1, 10, 3), -7.0))["scores"] == pytest.approx(0, abs=1e-6)
    assert parts("sigmoid", teacher, torch.full((1, 10, 3), -5.0))["scores"] > 0.01


def test_images_that_show_nothing_give_no_part_the_power_to_drown_the_others() -> None:
    from coralsmith.tuning.imitation import Imitation

    imitation = Imitation(None, [], [])
    imitation.calibrate({"probabilities": 0.0, "scores": 0.0, "boxes": 50.0})
    assert imitation.total({"probabilities": 1e-3, "scores": 1e-3, "boxes": 50.0}) == pytest.approx(1)
