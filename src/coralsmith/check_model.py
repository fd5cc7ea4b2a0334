"""The public `check`: it stands alone because it must start fast, without importers or an interpreter."""

from __future__ import annotations

from pathlib import Path

from coralsmith.compat.check import check_graph
from coralsmith.compat.report import CheckReport
from coralsmith.graph.reader import read_tflite
from coralsmith.importers.formats import TFLITE, recognise_format
from coralsmith.progress import SILENT, Progress


def check(
    model: str | Path,
    *,
    min_runtime: int = 14,
    all_partitions: bool = False,
    trust: bool = False,
    input_size: tuple[int, int] | str | None = None,
    factory: str | None = None,
    progress: Progress = SILENT,
) -> CheckReport:
    """Foretell what the Edge TPU compiler will do with a model, operator by operator.

    A `.tflite` file is judged as it is; a model in a training format as the int8 model it would become.

    Args:
        model: A model in any source format.
        min_runtime: Oldest Edge TPU runtime that must run the compiled model, 10 to 14.
        all_partitions: Predict the compiler's `--enable_multiple_subgraphs`, which maps every partition.
        trust: Run code that the model file brings along.
        input_size: Height and width for a model that leaves them open, also as text ("240x320").
        factory: ``package.module:function`` that makes the module for a file of PyTorch weights.
        progress: Told about the import of a training format.

    Raises:
        InputError: The model cannot be read.
        MachineError: A training format needs its framework, which is not installed.
    """
    path = Path(model).expanduser()
    is_tflite = recognise_format(path) == TFLITE
    if is_tflite:
        graph = read_tflite(path)
    else:
        from coralsmith.importers.importing import import_model

        imported = import_model(path, trust=trust, input_size=input_size, factory=factory, progress=progress)
        graph = imported.graph
    return check_graph(
        graph,
        model=str(model),
        min_runtime=min_runtime,
        as_if_quantized=not is_tflite,
        all_partitions=all_partitions,
    )
