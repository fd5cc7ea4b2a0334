"""Rounding that lets gradients through: what int8 kernels do, as differentiable torch functions over whole numbers.

Values are float32 tensors of whole steps above zero, ``integer - zero_point``. Sums of products of such numbers are
exact in float32 as long as they stay below 2^24, so a convolution gives the accumulator of the int8 kernel to the
bit, on every device and in every memory format.
"""

from __future__ import annotations

from typing import Any

import torch

from coralsmith.quantization.weights import WEIGHT_LIMIT


class _Requantize(torch.autograd.Function):  # type: ignore[misc]
    """``clamp(round(x * multiplier), low, high)``.

    The gradient passes straight through where a value is not clipped; a clipped one moves the end it was clipped
    to. With a multiplier and ends that are functions of a range this is the gradient of learned step sizes
    (Esser et al. 2020), in its asymmetric form (Bhalgat et al. 2020).
    """

    @staticmethod
    def forward(context: Any, values: Any, multiplier: Any, low: Any, high: Any) -> Any:
        context.save_for_backward(values, multiplier, low, high)
        return torch.mul(values, multiplier).round_().clamp_(low, high)

    @staticmethod
    def backward(context: Any, gradient: Any) -> tuple[Any, Any, Any, Any]:
        values, multiplier, low, high = context.saved_tensors
        steps = values * multiplier
        above, below = steps > high + 0.5, steps < low - 0.5
        inside = gradient.masked_fill(above | below, 0.0)
        _, of_multiplier, of_low, of_high = context.needs_input_grad
        return (
            inside * multiplier,
            (inside * values).sum_to_size(multiplier.shape) if of_multiplier else None,
            (gradient * below).sum() if of_low else None,
            (gradient * above).sum() if of_high else None,
        )


def requantize(values: Any, multiplier: Any, low: Any, high: Any) -> Any:
    """Whole steps of the output's scale.

    Args:
        values: Accumulators, or real numbers: float32, channels last.
        multiplier: What turns them into steps: float32, no dimensions or [channels].
        low: The lowest number of steps that is written, no dimensions.
        high: The highest.
    """
    return _Requantize.apply(values, multiplier, low, high)


class _Round(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(_: Any, values: Any) -> Any:
        return values.round()

    @staticmethod
    def backward(_: Any, gradient: Any) -> Any:
        return gradient


def straight_through_round(values: Any) -> Any:
    """The nearest integers, ties to even; the gradient is that of the identity."""
    return _Round.apply(values)


def whole_weights(steps: Any) -> Any:
    """int8 weights, symmetric and without -128, from weights in units of their scale."""
    return straight_through_round(steps.clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT))
