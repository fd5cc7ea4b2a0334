"""Imports what only TensorFlow can read, in a child process: Keras files, SavedModels, TF1 and TFJS graphs."""

from __future__ import annotations

from typing import Final

from coralsmith.importers.common_form import in_common_form
from coralsmith.importers.framework_import import Framework, read_in_child
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo
from coralsmith.progress import Progress

TENSORFLOW: Final = Framework(
    "TensorFlow", "coralsmith.importers.tensorflow_child", "tensorflow", ("tensorflow", "keras")
)


def import_through_tensorflow(source: SourceInfo, options: ImportOptions, progress: Progress) -> Imported:
    """A Keras, SavedModel, frozen or TensorFlow.js source in the common form, converted and run by TensorFlow.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        MachineError: A limit was reached, or TensorFlow crashed.
        InputError: The source cannot be used; the subclass says how.
    """
    read = read_in_child(TENSORFLOW, source, options, progress)
    reference = f"TensorFlow {read.facts.versions['tensorflow']}"
    return in_common_form(read, source, options, progress, reference=reference)
