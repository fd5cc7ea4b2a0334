"""The child's side of a framework process: serve one request, or leave a typed failure for the parent."""

from __future__ import annotations

import json
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coralsmith.errors import CoralsmithError
from coralsmith.importers import framework_exchange as exchange

_MAX_FILE_BYTES: Final = 4 << 30


def run_child(arguments: list[str], serve: Callable[[Path], None], library: str, extra: str) -> int:
    """Serve the request that the only argument names; exit code 0, or 1 with a failure file beside it.

    Args:
        arguments: The command line.
        serve: Writes the results beside the request.
        library: The framework's name, for failures.
        extra: The dependency group that installs it.
    """
    request = Path(arguments[0]).resolve()
    folder = request.parent
    _restrain()
    end_with_parent()
    try:
        serve(request)
    except CoralsmithError as error:
        _fail(folder, type(error).__name__, error.message, error.hint)
    except ImportError as error:
        reinstall = f"pip install --force-reinstall 'coralsmith[{extra}]'"
        _fail(folder, "MachineError", f"A library cannot be loaded. {essential_line(error)}", reinstall)
    except OSError as error:
        _fail(folder, "MachineError", f"A file cannot be read or written. {essential_line(error)}", "")
    except MemoryError:
        _fail(folder, "MachineError", f"{library} ran out of memory.", "Close other programs.")
    except Exception as error:  # the parent turns the essential line into a typed error
        _fail(folder, "UnsupportedModelError", f"{library} failed. {essential_line(error)}", "")
    else:
        return 0
    return 1


def show_stage(folder: Path, title: str) -> None:
    """Tell the parent what is being done."""
    (folder / exchange.STAGE_FILE).write_text(title, encoding="utf-8")


def essential_line(error: BaseException) -> str:
    """The type and the first line of an exception, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]


def _restrain() -> None:
    """No core dumps, no endless files.

    Memory is watched from outside instead, since frameworks reserve far more address space than they use.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))


def end_with_parent() -> None:
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
