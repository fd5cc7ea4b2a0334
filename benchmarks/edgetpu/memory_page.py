"""Writes the tables of docs/memory.md: what stands between `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "memory.md"

_BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_page(results: Mapping[str, Any]) -> None:
    """Put the results into the page, each table where its marker stands."""
    PAGE.write_text(filled(PAGE.read_text("utf-8"), results), "utf-8")


def filled(page: str, results: Mapping[str, Any]) -> str:
    """The page with the tables of the results that were measured; others stay."""
    tables = {name: _TABLES[name](result) for name, result in results.items()}
    return _BLOCK.sub(
        lambda block: f"{block[1]}{tables[block[2]]}{block[3]}" if block[2] in tables else block[0], page
    )


def _pairs(rows: Sequence[Mapping[str, Any]]) -> str:
    header = ("compiled model", "predicted", "real", "agreement", "width of the band")
    cells = (
        (_name(row), f"{row['predicted']:,}", f"{row['real']:,}", row["verdict"], f"{row['high'] - row['low']:,}")
        for row in rows
    )
    return _table(header, cells)


def _stacks(counts: Mapping[str, Mapping[str, int]]) -> str:
    total = counts["all"]
    header = ("published compilations", "number", "of it right")
    rows = (
        ("cache used and bytes streamed are those of the packing rules", total["rows"], total["bytes"]),
        ("with bytes streamed in the table: in the predicted band", total["known"], total["in band"]),
        ("... the estimate exact", total["known"], total["exact"]),
        ("that stream: in the predicted band", total["known, streaming"], total["in band, streaming"]),
        ("... the estimate exact", total["known, streaming"], total["exact, streaming"]),
    )
    return _table(header, ((text, str(number), str(right)) for text, number, right in rows))


def _activations(rows: Sequence[Mapping[str, Any]]) -> str:
    header = ("model", "predicted", "recorded", "ratio")
    cells = (
        (_name(row), f"{row['predicted']:,}", f"{row['real']:,}", f"{row['predicted'] / row['real']:.2f}")
        if row["real"]
        else (_name(row), f"{row['predicted']:,}", "mapped", "")
        for row in rows
    )
    return _table(header, cells)


_TABLES = {"pairs": _pairs, "stacks": _stacks, "activations": _activations}


def _name(row: Mapping[str, Any]) -> str:
    return str(row["name"]).removeprefix("gcedgetpu__").removeprefix("jorgi__").removeprefix("libredge__")


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ("---", *("---:" for _ in header[1:])), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
