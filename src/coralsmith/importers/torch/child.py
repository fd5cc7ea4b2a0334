"""The child process that runs PyTorch: ``python -m coralsmith.importers.torch.child request.json``.

torch exports the module to ONNX, coralsmith's own importer reads that, and torch itself gives the reference.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.importers import framework_exchange as exchange
from coralsmith.importers.framework_child import essential_line, run_child, show_stage
from coralsmith.importers.naming import unique_names
from coralsmith.importers.onnx.child import as_stored, normalises, read_graph
from coralsmith.importers.onnx.image_input import ImageInput, fix_image_input
from coralsmith.importers.samples import Samples, model_inputs, noise_pictures
from coralsmith.importers.torch.modules import TorchSource, read_module

_OPSET: Final = 18


def serve(request_path: Path) -> None:
    """Read the module, export it, read that, run the module on the pictures; all results beside the request."""
    import torch

    folder = request_path.parent
    request, pictures = exchange.Request.read(request_path)
    show_stage(folder, "reading the module")
    source = read_module(request)
    names = _output_names(source)
    show_stage(folder, "exporting to ONNX")
    model = _exported(source, names, folder)
    show_stage(folder, "translating the nodes")
    image = fix_image_input(model, request.input_size)
    graph, orders, notes = read_graph(model, image)
    (folder / exchange.MODEL_FILE).write_bytes(serialize_for_interpreter(graph)[0])
    show_stage(folder, "running the module")
    inputs = model_inputs(
        pictures or noise_pictures(), image.stored_shape, image.dtype, raw_pixels=normalises(graph)
    )
    outputs = _run(source, names, image, inputs)
    exchange.write_samples(Samples(inputs, as_stored(outputs, orders)), folder)
    exchange.Facts(
        versions={"torch": torch.__version__, "onnx": version("onnx"), "onnxscript": version("onnxscript")},
        outputs={name: name for name in orders},
        source_names={name: name for name in orders},
        notes=[*source.notes, *notes],
    ).write(folder)


def _flat(results: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every tensor of a module's result by its name: keys of dictionaries, places in lists."""
    import torch

    if isinstance(results, torch.Tensor):
        return [(path or "output", results)]
    if isinstance(results, dict):
        entries = [(str(key), value) for key, value in results.items()]
    elif isinstance(results, list | tuple):
        entries = [(f"output_{number}", value) for number, value in enumerate(results)]
    else:
        raise UnsupportedModelError(f"The module gives a {type(results).__name__} where a tensor belongs.")
    return [found for key, value in entries for found in _flat(value, f"{path}_{key}" if path else key)]


def _output_names(source: TorchSource) -> tuple[str, ...]:
    return unique_names([name for name, _ in _results(source, np.zeros(source.shape, np.float32))])


def _results(source: TorchSource, image: Array) -> list[tuple[str, Any]]:
    import torch

    try:
        with torch.no_grad():
            return _flat(source.call(torch.from_numpy(image)))
    except UnsupportedModelError:
        raise
    except Exception as error:
        raise UnsupportedModelError(
            f"The module does not run on an image {list(source.shape)}. {essential_line(error)}",
            hint="Check the image size (--input-size); the module must take one float32 image batch.",
        ) from error


def _exported(source: TorchSource, names: tuple[str, ...], folder: Path) -> Any:
    """The module as an ONNX model, by the exporter that torch recommends (TorchScript: by the older one)."""
    import onnx
    import torch

    image = torch.zeros(source.shape)
    settings = {"input_names": ["image"], "output_names": list(names), "opset_version": _OPSET}
    try:
        with torch.no_grad():
            if source.is_script:
                path = folder / "exported.onnx"
                torch.onnx.export(source.exported, (image,), str(path), dynamo=False, **settings)
                return onnx.load(str(path))
            program = torch.onnx.export(source.exported, (image,), dynamo=True, verbose=False, **settings)
    except Exception as error:  # torch raises many types, documented nowhere
        raise UnsupportedModelError(
            f"torch cannot export the module to ONNX. {essential_line(error)}",
            hint="Export only the network, up to its raw heads: without loops over data, suppression of boxes and "
            "losses.",
        ) from error
    assert program is not None, "with dynamo, the exporter gives a program"
    return program.model_proto


def _run(source: TorchSource, names: tuple[str, ...], image: ImageInput, inputs: Array) -> dict[str, Array]:
    runs = [
        [tensor.detach().numpy() for _, tensor in _results(source, image.as_source(stored))] for stored in inputs
    ]
    return {name: np.stack(values) for name, *values in zip(names, *runs, strict=True)}


def _forbid_pickles(request_path: Path) -> None:
    """Let torch unpickle nothing but weights; `torch.export.load` would otherwise fall back to anything."""
    request, _ = exchange.Request.read(request_path)
    if not request.trust:
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"


def _serve_safely(request_path: Path) -> None:
    _forbid_pickles(request_path)
    serve(request_path)


if __name__ == "__main__":
    sys.exit(run_child(sys.argv[1:], _serve_safely, "PyTorch", "torch"))
