"""A model as a detector takes it: its graph, the bytes that are run, and its head."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from coralsmith.compiled.package import is_edgetpu_operator
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.head_choice import choose_head
from coralsmith.errors import DetectionHeadError, UnsupportedModelError
from coralsmith.graph import Graph
from coralsmith.graph.kernel_limits import breached_limits
from coralsmith.graph.reader import parse_tflite, read_file
from coralsmith.graph.static import make_static
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.importers.metadata_head import ToldHead, told_by_metadata


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that can be run.

    Attributes:
        graph: What it consists of.
        content: The bytes for the interpreter; of a compiled file its own, untouched.
        source: The file; None for a graph.
        is_compiled: Whether a part of it runs on the Edge TPU only.
        told: What the file's metadata tells of its head.
    """

    graph: Graph
    content: bytes
    source: Path | None
    is_compiled: bool
    told: ToldHead = field(default_factory=ToldHead)


def load_model(model: str | Path | Graph) -> LoadedModel:
    """Load a model from a `.tflite` file or a graph.

    Raises:
        InputError: The file cannot be used.
        UnsupportedModelError: The interpreter would not survive the model.
    """
    if isinstance(model, Graph):
        return _runnable(LoadedModel(model, b"", None, is_compiled(model)))
    source, content = Path(model).expanduser(), read_file(model)
    graph = parse_tflite(content, str(source))
    told = told_by_metadata(graph, content, [tensor.name for tensor in graph.outputs])
    loaded = LoadedModel(graph, content, source, is_compiled(graph), told)
    if loaded.is_compiled:
        return loaded
    make_static(graph)
    return _runnable(loaded)


def _runnable(model: LoadedModel) -> LoadedModel:
    """The model with bytes made of its graph."""
    for problem in () if model.is_compiled else breached_limits(model.graph):
        raise UnsupportedModelError(f"The model cannot be run here: {problem}.")
    return replace(model, content=serialize_for_interpreter(model.graph)[0])


def is_compiled(graph: Graph) -> bool:
    """Whether a part of a model runs on the Edge TPU only."""
    return any(map(is_edgetpu_operator, graph.ops))


def head_of(
    model: LoadedModel, head: DetectionHead | str | Path | None = None, labels: str | Path | None = None
) -> DetectionHead:
    """The head of a model.

    Args:
        model: The model.
        head: Its head or the file of that; else it is looked for beside the model and in it.
        labels: Label file, which replaces the head's labels.

    Raises:
        DetectionHeadError: No head is known, several are possible, or it does not belong to the model.
    """
    if isinstance(head, DetectionHead) and labels is None:
        return head
    try:
        return choose_head(
            model.graph,
            model.source,
            carried=head if isinstance(head, DetectionHead) else model.told.head,
            head_file=Path(head).expanduser() if isinstance(head, str | Path) else None,
            labels_file=None if labels is None else Path(labels).expanduser(),
            hints=model.told.hints,
        )
    except DetectionHeadError as error:
        if head is not None or model.source is None:
            raise
        hint = f"`coralsmith head {model.source} --images DIR -o head.json` finds it; lay it beside the model."
        raise DetectionHeadError(error.message, hint, error.evidence) from error
