"""The mean over the last steps of what a training changes."""

from __future__ import annotations

import pytest


def test_a_value_that_goes_to_and_fro_ends_on_the_side_where_it_was_more_often() -> None:
    import torch

    from coralsmith.tuning.averaging import Average

    parameters = {"weight": torch.tensor([0.4], dtype=torch.float64, requires_grad=True)}
    average = Average(parameters)
    for step in range(1, 101):
        with torch.no_grad():
            parameters["weight"].fill_(0.6 if step % 4 == 0 else 0.4)
        average.update(step)
    assert float(parameters["weight"].detach()) == pytest.approx(0.6)
    assert float(average.values["weight"]) == pytest.approx(0.45, abs=0.02)


def test_it_follows_at_once_in_the_beginning_and_forgets_the_start() -> None:
    import torch

    from coralsmith.tuning.averaging import Average

    parameters = {"weight": torch.zeros(1)}
    average = Average(parameters)
    parameters["weight"].fill_(1.0)
    average.update(1)
    assert float(average.values["weight"]) == pytest.approx(0.9)
    for step in range(2, 200):
        average.update(step)
    assert float(average.values["weight"]) == pytest.approx(1.0, abs=1e-3)


def test_it_takes_the_place_of_the_parameters_for_a_while_also_where_that_fails() -> None:
    import torch

    from coralsmith.tuning.averaging import Average

    parameters = {"weight": torch.zeros(1)}
    average = Average(parameters)
    parameters["weight"].fill_(1.0)
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert float(parameters["weight"]) == 0.0
        parameters["weight"].fill_(5.0)
        raise ZeroDivisionError
    assert float(parameters["weight"]) == 1.0 and float(average.values["weight"]) == 0.0
