"""Source models of every accepted format, brought into the common form and proved against their source."""

from coralsmith.importers.formats import recognise_format
from coralsmith.importers.imported import (
    Imported,
    ImportOptions,
    Limits,
    OutputDifference,
    SourceInfo,
    Usage,
    Verification,
)
from coralsmith.importers.importing import import_model

__all__ = [
    "ImportOptions",
    "Imported",
    "Limits",
    "OutputDifference",
    "SourceInfo",
    "Usage",
    "Verification",
    "import_model",
    "recognise_format",
]
