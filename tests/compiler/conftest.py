"""The stand-in compiler as an executable file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from coralsmith.compiler.locate import Compiler

SOURCE = Path(__file__).with_name("stand_in_compiler.py")


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "edgetpu_compiler"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SOURCE}" "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def compiler(stand_in: Path) -> Compiler:
    return Compiler(stand_in, "option")
