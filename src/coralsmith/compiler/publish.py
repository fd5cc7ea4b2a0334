"""Gives the compiler's files their final names: each whole and with its bytes unchanged, all of a set or none."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coralsmith.compiler.outcome import Outcome
from coralsmith.errors import OutputError
from coralsmith.graph.writer import PARTIAL_PREFIX, write_atomically


@dataclass(frozen=True)
class Published:
    """A compiled model under its final name, and the compiler's log beside it."""

    model: Path
    log: Path | None


def output_names(models: Sequence[Path]) -> list[str]:
    """What the names of the compiled models begin with."""
    return [path.name.removesuffix(".tflite") for path in models]


def publish(outcome: Outcome, models: Sequence[Path], out_dir: Path) -> list[Published]:
    """Copy the compiled models and their logs into a folder.

    Raises:
        OutputError: The folder cannot be made, or a file cannot be written.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{out_dir}' cannot be made: {error.strerror}.") from error
    names = output_names(models)
    published, sources = [], {}
    for output in outcome.outputs:
        model = out_dir / f"{names[output.model]}{output.suffix}.tflite"
        log = None if output.log is None else model.with_suffix(".log")
        if output.log is not None and log is not None:
            sources[log] = output.log
        published.append(Published(model, log))
    sources.update({one.model: output.path for one, output in zip(published, outcome.outputs, strict=True)})
    _write_all(sources)
    return published


def _write_all(sources: dict[Path, Path]) -> None:
    """Write every file under another name first, so that a full disk leaves all earlier results as they were."""
    token = secrets.token_hex(8)  # two processes may write the same results at once
    staged = {target: target.with_name(f"{PARTIAL_PREFIX}{token}-{target.name}") for target in sources}
    try:
        for target, source in sources.items():
            write_atomically(staged[target], source.read_bytes())
        for target, partial in staged.items():
            partial.replace(target)
    except OSError as error:
        raise OutputError(f"'{error.filename}' cannot be written: {error.strerror}.") from error
    finally:
        for partial in staged.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
