"""The child process that runs TensorFlow: ``python -m coralsmith.importers.tensorflow_child request.json``.

It reads a request, and writes a float `.tflite` model, facts and sample outputs beside it; or a failure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final

from coralsmith.importers import framework_exchange as exchange
from coralsmith.importers.framework_child import run_child, show_stage
from coralsmith.importers.samples import noise_pictures
from coralsmith.importers.tensorflow_conversion import TensorFlowSource, convert

READERS: Final = {
    "keras": ("coralsmith.importers.tensorflow_keras", "read_keras"),
    "keras-h5": ("coralsmith.importers.tensorflow_keras", "read_keras"),
    "saved-model": ("coralsmith.importers.tensorflow_saved_model", "read_saved_model"),
    "frozen-graph": ("coralsmith.importers.tensorflow_frozen_graph", "read_frozen_graph"),
    "tfjs-graph": ("coralsmith.importers.tensorflow_tfjs", "read_tfjs_graph"),
}


def serve(request_path: Path) -> None:
    """Read the source, convert it, run it on the pictures, and write all results beside the request."""
    folder = request_path.parent
    request, pictures = exchange.Request.read(request_path)
    show_stage(folder, "reading the model")
    module, function = READERS[request.format]
    reader: Callable[[exchange.Request], TensorFlowSource] = getattr(import_module(module), function)
    source = reader(request)
    show_stage(folder, "converting to TensorFlow Lite")
    conversion = convert(source.function, request.trust)
    (folder / exchange.MODEL_FILE).write_bytes(conversion.content)
    show_stage(folder, "running the source model")
    exchange.write_samples(source.run(pictures or noise_pictures(), conversion.raw_pixels), folder)
    exchange.Facts(
        versions={"tensorflow": version("tensorflow"), **source.versions},
        outputs=dict(zip(conversion.tensors, source.outputs, strict=True)),
        source_names={name: name for name in source.outputs} | source.source_names,
        notes=source.notes,
        head=source.head,
    ).write(folder)


if __name__ == "__main__":
    sys.exit(run_child(sys.argv[1:], serve, "TensorFlow", "tensorflow"))
