"""The public `decompile`: compiled files in, one runnable `.tflite` out, or a refusal and no file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coralsmith.compiled.recovery.decompilation import Proved, decompile_segments
from coralsmith.compiled.recovery.findings import decompilation_findings
from coralsmith.compiled.recovery.record import SCHEMA, Decompilation
from coralsmith.compiled.recovery.record_building import operator_records
from coralsmith.compiled.recovery.segment import Segment, read_segments
from coralsmith.errors import UsageError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite

PathLike = str | Path


def decompile(*compiled: PathLike, output: PathLike, like: PathLike | None = None) -> Decompilation:
    """Read a runnable CPU model out of compiled files, and prove it.

    A compiled file has no list of operators. The topology is one of the known ones, or that of `like`; everything
    else is read: weights, biases, zero points and multipliers are exact. Scales that do not matter are chosen.
    Decompile only models that you have the right to.

    Args:
        *compiled: What the Edge TPU compiler wrote; several files are the segments of one model, in any order.
        output: The `.tflite` file to write.
        like: A `.tflite` model of the same architecture, float or quantized, whose weights do not matter.

    Raises:
        UsageError: No compiled file is given, or the output is one of the inputs.
        InputError: A file cannot be read or is of the wrong kind.
        NotProvedError: What was compiled does not follow from the files; nothing is written.
        OutputError: The result cannot be written.
    """
    paths, target = [Path(path).expanduser() for path in compiled], Path(output).expanduser()
    model = None if like is None else Path(like).expanduser()
    _check(paths, target, model)
    segments = read_segments(paths)
    graph, name = (None, "") if model is None else (read_tflite(model), model.name)
    proved = decompile_segments(segments, graph, name)
    written = write_tflite(proved.recovery.rebuilt.graph, target)
    return _record(proved, segments, target, written)


def _check(paths: Sequence[Path], target: Path, like: Path | None) -> None:
    if not paths:
        raise UsageError(
            "No compiled file is given.", hint="coralsmith decompile MODEL_edgetpu.tflite -o MODEL.tflite"
        )
    if len(set(paths)) < len(paths):
        raise UsageError("The same compiled file is given twice.", hint="Give each segment once.")
    given = [*paths, *([] if like is None else [like])]
    if target.exists() and any(path.exists() and target.samefile(path) for path in given):
        raise UsageError(f"'{target}' is one of the inputs.", hint="Name another file with --output.")


def _record(proved: Proved, segments: Sequence[Segment], target: Path, written: int) -> Decompilation:
    recovery, accounts = proved.recovery, proved.report.parameters
    return Decompilation(
        schema=SCHEMA,
        compiled=[segment.name for segment in segments],
        output=target,
        bytes=written,
        topology=recovery.skeleton.name,
        topologies_tried=proved.tried,
        layers=len(recovery.layers),
        parameter_bytes=sum(account.bytes for account in accounts),
        layer_bytes=sum(account.layer_bytes for account in accounts),
        scales_free=len(recovery.solved.chosen),
        scales_total=len(recovery.solved.scales),
        spatial=proved.spatial,
        operators=operator_records(recovery, segments),
        findings=decompilation_findings(recovery, proved.spatial),
    )
