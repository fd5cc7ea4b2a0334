from __future__ import annotations

from typing import Any


def make_interpreter(path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=path)
