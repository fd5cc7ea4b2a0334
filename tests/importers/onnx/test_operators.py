"""The table of operators, and the page that lists it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.importers.onnx.models import TRANSLATORS

USAGE = Path(__file__).resolve().parents[3] / "docs" / "usage.md"


def test_the_manual_lists_every_operator() -> None:
    listed = re.search(r"^Operators: (.*?);", USAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert listed is not None
    names = re.sub(r"\s*\([^)]*\)", "", listed[1]).replace("\n", " ").split(", ")
    assert [name.strip() for name in names] == sorted(TRANSLATORS)
