"""Starts the LiteRT interpreter, quietly and with the fastest kernels that take the model."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coralsmith.errors import UnsupportedModelError


def load_interpreter(
    content: bytes,
    *,
    threads: int = 2,
    keep_all: bool = False,
    reference_kernels: bool = False,
    delegate: Any = None,
) -> Any:
    """An interpreter with its tensors allocated.

    XNNPACK is fastest but refuses some valid graphs; the optimised kernels without it take those.

    Args:
        content: The bytes of a `.tflite` file; the caller keeps them alive.
        threads: CPU threads of the kernels.
        keep_all: Keep every intermediate tensor.
        reference_kernels: Use LiteRT's slow reference kernels instead of the optimised ones.
        delegate: Takes over the operators that it knows: the Edge TPU, for one.

    Raises:
        UnsupportedModelError: The interpreter refuses the model (an unknown custom operator, say).
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES]
    if reference_kernels:
        kernels = [OpResolverType.BUILTIN_REF]
    refusal = ""
    for resolver in kernels:
        try:
            with warnings.catch_warnings(action="ignore"), native_log_silenced():
                interpreter = Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_preserve_all_tensors=keep_all,
                    experimental_op_resolver_type=resolver,
                    experimental_delegates=None if delegate is None else [delegate],
                )
                interpreter.allocate_tensors()
            return interpreter
        except (RuntimeError, ValueError) as error:
            refusal = refusal or str(error)
    raise UnsupportedModelError(f"The interpreter refuses the model: {refusal}")


@contextlib.contextmanager
def native_log_silenced() -> Iterator[None]:
    """Keep what the interpreter's C++ side writes on file descriptor 2 from the user's terminal.

    It announces each delegate there and knows no setting against it; its errors come as exceptions all the same.
    """
    saved = os.dup(2)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
