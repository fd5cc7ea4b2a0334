"""Segments of a pipeline: the other files cut from the same model, and whether they share a caching token."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from coralsmith.compiled.package import CompiledModel, read_compiled
from coralsmith.compiled.rules import inspection_rule
from coralsmith.errors import CoralsmithError
from coralsmith.findings import Finding

_SEGMENT_NAME: Final = re.compile(r"(.+_segment_)(\d{1,3})(_of_(\d{1,3})_edgetpu\.tflite)", re.DOTALL)
_MOST_SEGMENTS: Final = 16


def shared_token_findings(path: Path, model: CompiledModel) -> list[Finding]:
    """Whether a segment shares its caching token with others of its pipeline that lie in the same folder.

    The compiler (`-n`) names segments `<model>_segment_<i>_of_<n>_edgetpu.tflite`. A neighbour that is missing or
    cannot be read is left out: it is not the file in question.
    """
    own = caching_tokens(model)
    names = segments_of(path.name)
    if not own:
        return []
    sharing = [
        str(number)
        for number, name in enumerate(names)
        if name != path.name and own & _tokens_of(path.with_name(name))
    ]
    if not sharing:
        return []
    measured = f"{min(own):#018x} also in segment {', '.join(sharing)}"
    return [inspection_rule("shared-token").finding(measured=measured)]


def segments_of(name: str) -> list[str]:
    """The names of all segments of the pipeline that a file belongs to; none if it is no segment."""
    match = _SEGMENT_NAME.fullmatch(name)
    if match is None:
        return []
    return [f"{match[1]}{number}{match[3]}" for number in range(min(int(match[4]), _MOST_SEGMENTS))]


def caching_tokens(model: CompiledModel) -> set[int]:
    """The tokens of a model's programs, without 0, which is none."""
    executables = (executable for package in model.packages for executable in package.executables)
    return {executable.caching_token for executable in executables} - {0}


def _tokens_of(path: Path) -> set[int]:
    try:
        return caching_tokens(read_compiled(path)) if path.is_file() else set()
    except CoralsmithError:
        return set()
