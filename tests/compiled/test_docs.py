"""The page about inspections says what the rules say."""

from __future__ import annotations

from pathlib import Path

from coralsmith.compiled.docs import inspection_page
from coralsmith.compiled.rules import compiler_ranges, inspection_rules

PAGE = Path(__file__).parents[2] / "docs" / "inspect.md"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == inspection_page(), (
        "run: python -m coralsmith.compiled.docs docs/inspect.md"
    )


def test_every_rule_and_every_compiler_stands_on_the_page():
    page = inspection_page()
    assert all(page.count(f"### {identifier}\n") == 1 for identifier in inspection_rules())
    assert all(found.versions in page for _, _, found in compiler_ranges())
