"""coralsmith: from a trained MobileNetV2-SSD to a verified full-integer model for the Google Coral Edge TPU."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coralsmith.api import compile, convert, detect, find_head  # noqa: A004
    from coralsmith.bundle_model import bundle
    from coralsmith.check_model import check
    from coralsmith.decompile_files import decompile
    from coralsmith.evaluate_model import evaluate
    from coralsmith.inspect_model import inspect
    from coralsmith.profile_model import profile
    from coralsmith.quantize_file import quantize
    from coralsmith.runtime.detector import Detector
    from coralsmith.tune_model import tune
    from coralsmith.verify_model import verify

__version__ = "0.1.0"

__all__ = [
    "Detector",
    "__version__",
    "bundle",
    "check",
    "compile",
    "convert",
    "decompile",
    "detect",
    "evaluate",
    "find_head",
    "inspect",
    "profile",
    "quantize",
    "tune",
    "verify",
]

_HOMES = {
    "Detector": "coralsmith.runtime.detector",
    "bundle": "coralsmith.bundle_model",
    "check": "coralsmith.check_model",
    "decompile": "coralsmith.decompile_files",
    "evaluate": "coralsmith.evaluate_model",
    "inspect": "coralsmith.inspect_model",
    "profile": "coralsmith.profile_model",
    "quantize": "coralsmith.quantize_file",
    "tune": "coralsmith.tune_model",
    "verify": "coralsmith.verify_model",
    **dict.fromkeys(("compile", "convert", "detect", "find_head"), "coralsmith.api"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing coralsmith costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'coralsmith' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
