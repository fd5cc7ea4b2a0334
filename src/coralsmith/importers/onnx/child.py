"""The child process that reads ONNX models: ``python -m coralsmith.importers.onnx.child request.json``.

A process of its own because the file is parsed by native code that a hostile one may crash, and because
onnxslim and onnxruntime write to the terminal.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from coralsmith.graph import Graph
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.importers import framework_exchange as exchange
from coralsmith.importers.canonical import order_operators
from coralsmith.importers.framework_child import run_child, show_stage
from coralsmith.importers.onnx.cleaning import cleaned
from coralsmith.importers.onnx.image_input import ImageInput, fix_image_input
from coralsmith.importers.onnx.loading import load_model
from coralsmith.importers.onnx.session import run_source
from coralsmith.importers.onnx.translation import stored_like, translate
from coralsmith.importers.onnx.values import Order
from coralsmith.importers.samples import Samples, model_inputs, noise_pictures

_NORMALISING: Final = frozenset({"MUL", "SUB", "ADD", "DIV", "CAST"})
PACKAGES: Final = ("onnx", "onnxruntime", "onnxslim")


def serve(request_path: Path) -> None:
    """Read the model, translate it, run it on the pictures, and write all results beside the request."""
    folder = request_path.parent
    request, pictures = exchange.Request.read(request_path)
    show_stage(folder, "reading the model")
    model = load_model(Path(request.path))
    image = fix_image_input(model, request.input_size)
    show_stage(folder, "translating the nodes")
    graph, orders, notes = read_graph(model, image)
    (folder / exchange.MODEL_FILE).write_bytes(serialize_for_interpreter(graph)[0])
    show_stage(folder, "running the source model")
    inputs = model_inputs(
        pictures or noise_pictures(), image.stored_shape, image.dtype, raw_pixels=normalises(graph)
    )
    outputs = run_source(model.SerializeToString(), image, inputs)
    exchange.write_samples(Samples(inputs, as_stored(outputs, orders)), folder)
    exchange.Facts(
        versions={package: version(package) for package in PACKAGES},
        outputs={name: name for name in orders},
        source_names={name: name for name in orders},
        notes=notes,
    ).write(folder)


def read_graph(model: Any, image: ImageInput) -> tuple[Graph, dict[str, Order], list[str]]:
    """The graph of a model, how its outputs are stored, and notes."""
    slim, note = cleaned(model)
    graph, orders = translate(slim, image)
    order_operators(graph)
    moved = [name for name, order in orders.items() if order != tuple(range(len(order)))]
    channels_last = [f"The outputs {', '.join(moved)} have their channels last here."] if moved else []
    return graph, orders, [note, *channels_last]


def normalises(graph: Graph) -> bool:
    """Whether the model's first step is arithmetic on its input, so that it wants plain pixels."""
    return any(op.kind in _NORMALISING for op in graph.consumers().get(graph.inputs[0], []))


def as_stored(outputs: dict[str, Any], orders: dict[str, Order]) -> dict[str, Any]:
    """What the source computes, [pictures, *shape], in the order in which the graph stores it."""
    return {
        name: stored_like(values, (0, *(axis + 1 for axis in orders[name]))) for name, values in outputs.items()
    }


if __name__ == "__main__":
    sys.exit(run_child(sys.argv[1:], serve, "onnx", "onnx"))
