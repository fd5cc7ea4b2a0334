"""The page about supported operators says what the rules say."""

from __future__ import annotations

from pathlib import Path

from coralsmith.edgetpu.docs import supported_operators_page
from coralsmith.edgetpu.rules import rule_book

PAGE = Path(__file__).parents[2] / "docs" / "supported-ops.md"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == supported_operators_page(), (
        "run: python -m coralsmith.edgetpu.docs docs/supported-ops.md"
    )


def test_every_rule_and_operator_stands_on_the_page():
    page = supported_operators_page()
    assert all(f"### {identifier}\n" in page for identifier in rule_book().rules)
    assert all(f"| `{kind}` |" in page for kind in rule_book().operators)
