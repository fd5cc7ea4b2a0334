"""The record of a way to quantize that was tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """A method that was tried on top of those kept before it.

    Attributes:
        name: The method.
        decibels: Signal to quantization noise of the outputs with it, in dB, on images held back.
        kept: Whether it stayed.
    """

    name: str
    decibels: float
    kept: bool
