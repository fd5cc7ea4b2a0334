"""Opens the Edge TPU: the name of a device, and libedgetpu as a delegate of the interpreter."""

from __future__ import annotations

import ctypes
import platform
import re
from typing import Any, Final

from coralsmith.errors import DeviceError, UsageError

LIBRARIES: Final = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
"""File name of libedgetpu, by operating system; the system's loader knows where it is."""

AUTO: Final = "auto"
CPU: Final = "cpu"
_EDGE_TPU: Final = re.compile(r"(usb|pci)?(:\d{1,3})?")
_DOCTOR: Final = (
    "`coralsmith doctor` tells what is missing: the device, its rights, libedgetpu or the right version of it."
)


def checked_device(device: str) -> str:
    """A device's name as it is, if it can be one.

    Args:
        device: "auto", "cpu", "usb", "pci", or one of several: "usb:0", "pci:1", ":2" of all.

    Raises:
        UsageError: It names no device.
    """
    if device not in (AUTO, CPU) and (not device or not _EDGE_TPU.fullmatch(device)):
        raise UsageError(
            f"{device!r} is no device.", hint="auto, cpu, usb, pci, or one of several: usb:0, usb:1, pci:0, :1."
        )
    return device


def open_edgetpu(device: str = AUTO) -> Any:
    """The delegate that hands the compiled part of a model to an Edge TPU.

    Args:
        device: As for `checked_device`; "auto" takes the first that libedgetpu finds.

    Raises:
        DeviceError: libedgetpu is not installed or finds no such device.
    """
    from ai_edge_litert.interpreter import load_delegate

    library = LIBRARIES.get(platform.system(), LIBRARIES["Linux"])
    try:
        ctypes.CDLL(library)  # of a missing library the interpreter's own loader leaves an object half made
    except OSError as error:
        raise DeviceError(
            f"The model is compiled for the Edge TPU, but its library {library} cannot be loaded: {error}.",
            _DOCTOR,
        ) from error
    options = {} if device == AUTO else {"device": device}
    try:
        return load_delegate(library, options)
    except (ValueError, RuntimeError) as error:
        wanted = "no Edge TPU" if device == AUTO else f"no Edge TPU '{device}'"
        reason = " ".join(str(error).split()) or "no reason given"
        raise DeviceError(f"libedgetpu opens {wanted}: {reason}.", _DOCTOR) from error
