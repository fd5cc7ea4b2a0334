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
    match = _SEGMENT_NAME.fullmatch(path.name)
    own = caching_tokens(model)
    if match is None or not own:
        return []
    others = [number for number in range(min(int(match[4]), _MOST_SEGMENTS)) if number != int(match[2])]
    sharing = [
        str(number) for number in others if own & _tokens_of(path.with_name(f"{match[1]}{number}{match[3]}"))
    ]
    if not sharing:
        return []
    measured = f"{min(own):#018x} also in segment {', '.join(sharing)}"
    return [inspection_rule("shared-token").finding(measured=measured)]


def caching_tokens(model: CompiledModel) -> set[int]:
    """The tokens of a model's programs, without 0, which is none."""
    executables = (executable for package in model.packages for executable in package.executables)
    return {executable.caching_token for executable in executables} - {0}


def _tokens_of(path: Path) -> set[int]:
    try:
        return caching_tokens(read_compiled(path)) if path.is_file() else set()
    except CoralsmithError:
        return set()
