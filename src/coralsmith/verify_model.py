"""The public `verify`: it stands alone because it must start fast, without importers or an interpreter."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from coralsmith.compiled.package import CompiledModel, is_edgetpu_operator, read_compiled
from coralsmith.compiled.verification import verify_models
from coralsmith.compiled.verification.report import VerifyReport
from coralsmith.compiled.verification.source_layers import is_layer
from coralsmith.errors import InputError, UsageError
from coralsmith.graph.model import Graph
from coralsmith.graph.reader import read_tflite


def verify(source: str | Path, *compiled: str | Path) -> VerifyReport:
    """Prove, layer by layer and to the bit, whether compiled files were made from a source.

    Args:
        source: The full-integer `.tflite` model.
        compiled: What the Edge TPU compiler made of it; several files are the segments of one pipeline.

    Raises:
        UsageError: No compiled file is given, or one twice.
        InputError: A file cannot be read, is of the wrong kind or in the wrong place, or a segment is missing.
    """
    if not compiled:
        raise UsageError("No compiled file is given.", hint="coralsmith verify MODEL MODEL_edgetpu.tflite")
    if len({Path(file).expanduser().resolve() for file in compiled}) < len(compiled):
        raise UsageError("The same compiled file is given twice.", hint="Give each segment once.")
    graph = _source(source, compiled)
    files = [(str(file), _compiled(file)) for file in compiled]
    return verify_models(graph, files, name=str(source))


def _source(path: str | Path, compiled: tuple[str | Path, ...]) -> Graph:
    graph = read_tflite(path)
    if any(is_edgetpu_operator(op) for op in graph.ops):
        raise InputError(
            f"'{path}' is compiled already: it is no source.",
            hint=f"The source comes first: coralsmith verify {quote(str(compiled[-1]))} {quote(str(path))}",
        )
    layers = [op for op in graph.ops if is_layer(op)]
    floats = [op for op in layers if op.required_input("filter").is_float or op.required_input("input").is_float]
    if floats:
        raise InputError(
            f"'{path}' is a float model, at least in '{floats[0].name}', which the compiler does not take.",
            hint="Give the int8 model that was compiled.",
        )
    return graph


def _compiled(path: str | Path) -> CompiledModel:
    model = read_compiled(path)
    if not model.packages:
        raise InputError(
            f"'{path}' is not compiled: it holds no edgetpu-custom-op.",
            hint="Give the *_edgetpu.tflite that the compiler wrote, behind the source.",
        )
    return model
