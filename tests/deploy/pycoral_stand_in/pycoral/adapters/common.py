from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def input_size(interpreter: Any) -> tuple[int, int]:
    _, height, width, _ = interpreter.get_input_details()[0]["shape"]
    return int(width), int(height)


def output_tensor(interpreter: Any, number: int) -> np.ndarray:
    view: np.ndarray = interpreter.tensor(interpreter.get_output_details()[number]["index"])()
    return view


def set_input(interpreter: Any, pixels: Any) -> None:
    interpreter.tensor(interpreter.get_input_details()[0]["index"])()[0][:, :] = pixels


def set_resized_input(
    interpreter: Any, size: tuple[int, int], resize: Callable[[tuple[int, int]], Any]
) -> tuple[Any, tuple[float, float]]:
    width, height = input_size(interpreter)
    scale = min(width / size[0], height / size[1])
    inner = int(size[0] * scale), int(size[1] * scale)
    tensor = interpreter.tensor(interpreter.get_input_details()[0]["index"])()[0]
    tensor.fill(0)
    resized = resize(inner)
    tensor[: inner[1], : inner[0]] = np.reshape(resized, (inner[1], inner[0], 3))
    return resized, (scale, scale)
