"""Source models of every accepted format, brought into the common form and proved against their source."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coralsmith.importers.formats import recognise_format
    from coralsmith.importers.imported import Imported, Verification
    from coralsmith.importers.importing import import_model

__all__ = ["Imported", "Verification", "import_model", "recognise_format"]

_HOMES = {
    "Imported": "imported",
    "Verification": "imported",
    "import_model": "importing",
    "recognise_format": "formats",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: telling a file's format must not load every importer."""
    if name not in _HOMES:
        raise AttributeError(f"module 'coralsmith.importers' has no attribute {name!r}")
    return getattr(import_module(f"coralsmith.importers.{_HOMES[name]}"), name)
