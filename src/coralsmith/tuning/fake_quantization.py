"""Rounding that lets gradients through: what int8 kernels do, as differentiable torch functions.

Values are float32 tensors of whole steps above zero, ``integer - zero_point``. Sums of products of such numbers
are exact in float32 as long as they stay below 2^24, so a convolution gives the accumulator of the int8 kernel to
the bit, on every device and in every memory format.
"""

from __future__ import annotations

from typing import Any

import torch

from coralsmith.quantization.adaptive_rounding import WEIGHT_LIMIT


class _Requantize(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(context: Any, values: Any, multiplier: Any, zero_point: Any, low: float, high: float) -> Any:
        steps = torch.mul(values, multiplier)
        context.save_for_backward(steps, multiplier)
        context.inside = low - 0.5, high + 0.5
        context.zero_point_shape = zero_point.shape
        return steps.round().clamp_(low, high)

    @staticmethod
    def backward(context: Any, gradient: Any) -> tuple[Any, Any, Any, None, None]:
        steps, multiplier = context.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(gradient, steps, *context.inside)
        _, of_multiplier, of_zero_point, _, _ = context.needs_input_grad
        scaled = (inside * steps).sum_to_size(multiplier.shape) / multiplier if of_multiplier else None
        moved = inside.sum() - gradient.sum() if of_zero_point else None
        return inside.mul_(multiplier), scaled, moved, None, None


def requantize(values: Any, multiplier: Any, zero_point: Any, low: float, high: float) -> Any:
    """``clamp(round(values * multiplier), low, high)``: whole steps of the output's scale.

    The gradient passes straight through where a value is not clipped; a clipped one moves the zero point. With a
    multiplier and a zero point that are functions of a range, this is the gradient of learned step sizes (Esser
    et al. 2020) in its asymmetric form (Bhalgat et al. 2020).

    Args:
        values: Accumulators, or real numbers: float32, channels last.
        multiplier: What turns them into steps: float32, no dimensions or [channels].
        zero_point: The output's, no dimensions; only its gradient counts.
        low: The lowest number of steps that is written: -128 less the zero point, or a fused activation's limit.
        high: The highest.
    """
    return _Requantize.apply(values, multiplier, zero_point, low, high)


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


def with_gradient_of(values: Any, factor: Any) -> Any:
    """`values`, unchanged, with the gradient of ``values * factor / factor.detach()``."""
    return values + values.detach() * (factor / factor.detach() - 1.0)
