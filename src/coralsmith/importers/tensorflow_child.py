"""The child process that runs TensorFlow: ``python -m coralsmith.importers.tensorflow_child request.json``.

It reads a request, and writes a float `.tflite` model, facts and sample outputs beside it; or a failure.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final

from coralsmith.errors import CoralsmithError
from coralsmith.importers import tensorflow_exchange as exchange
from coralsmith.importers.samples import noise_pictures
from coralsmith.importers.tensorflow_conversion import TensorFlowSource, convert, essential_line

READERS: Final = {
    "keras": ("coralsmith.importers.tensorflow_keras", "read_keras"),
    "keras-h5": ("coralsmith.importers.tensorflow_keras", "read_keras"),
    "saved-model": ("coralsmith.importers.tensorflow_saved_model", "read_saved_model"),
    "frozen-graph": ("coralsmith.importers.tensorflow_frozen_graph", "read_frozen_graph"),
}
_REINSTALL: Final = "pip install --force-reinstall 'coralsmith[tensorflow]'"
_MAX_FILE_BYTES: Final = 4 << 30


def main(arguments: list[str]) -> int:
    """Serve one request; exit code 0, or 1 with a failure file."""
    request_path = Path(arguments[0]).resolve()
    folder = request_path.parent
    _restrain()
    _end_with_parent()
    try:
        serve(request_path)
    except CoralsmithError as error:
        _fail(folder, type(error).__name__, error.message, error.hint)
    except ImportError as error:
        _fail(folder, "MachineError", f"A library cannot be loaded. {essential_line(error)}", _REINSTALL)
    except OSError as error:
        _fail(folder, "MachineError", f"A file cannot be read or written. {essential_line(error)}", "")
    except MemoryError:
        _fail(folder, "MachineError", "TensorFlow ran out of memory.", "Close other programs.")
    except Exception as error:  # the parent turns the essential line into a typed error
        _fail(folder, "UnsupportedModelError", f"TensorFlow failed. {essential_line(error)}", "")
    else:
        return 0
    return 1


def serve(request_path: Path) -> None:
    """Read the source, convert it, run it on the pictures, and write all results beside the request."""
    folder = request_path.parent

    def stage(title: str) -> None:
        (folder / exchange.STAGE_FILE).write_text(title, encoding="utf-8")

    request, pictures = exchange.Request.read(request_path)
    stage("reading the model")
    module, function = READERS[request.format]
    reader: Callable[[exchange.Request], TensorFlowSource] = getattr(import_module(module), function)
    source = reader(request)
    stage("converting to TensorFlow Lite")
    conversion = convert(source.function, request.trust)
    (folder / exchange.MODEL_FILE).write_bytes(conversion.content)
    stage("running the source model")
    exchange.write_samples(source.run(pictures or noise_pictures(), conversion.raw_pixels), folder)
    exchange.Facts(
        versions={"tensorflow": version("tensorflow"), **source.versions},
        outputs=dict(zip(conversion.tensors, source.outputs, strict=True)),
        source_names={name: name for name in source.outputs} | source.source_names,
        notes=source.notes,
        head=source.head,
    ).write(folder)


def _restrain() -> None:
    """No core dumps, no endless files.

    Memory is watched from outside instead, since TensorFlow reserves far more address space than it uses.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))


def _end_with_parent() -> None:
    """Leave when the parent does: it holds the other end of standard input and never writes to it."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _fail(folder: Path, kind: str, message: str, hint: str) -> None:
    """Leave the failure for the parent, and the traceback in the log."""
    traceback.print_exc()
    document = json.dumps({"kind": kind, "message": message, "hint": hint})
    (folder / exchange.FAILURE_FILE).write_text(document, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
