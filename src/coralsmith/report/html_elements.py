"""HTML as nested function calls; whatever is not markup already is escaped, so no text can become HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from coralsmith.report.figures import BASES, Basis
from coralsmith.report.wording import printable, short_name

_VOID: Final = frozenset({"img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def joined(*parts: str | None) -> Markup:
    """The parts behind one another, each escaped unless it is markup; None is left out."""
    return Markup("".join(_escaped(part) for part in parts if part is not None))


def element(name: str, /, *content: str | None, **attributes: str | bool | None) -> Markup:
    """One HTML element.

    Args:
        name: The element's name.
        content: Children; plain strings are escaped, None is left out.
        attributes: `class_` becomes class, `data_target` data-target; True is a bare attribute, None and False
            are left out.

    Returns:
        The element as markup.
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{opening}>")
    return Markup(f"<{name}{opening}>{joined(*content)}</{name}>")


def section(identifier: str, title: str, *content: str | None, lead: str | None = None) -> Markup:
    """One part of the page with its heading; `lead` is the sentence under the heading."""
    heading = element("h2", title, id=f"{identifier}-title")
    lead = element("p", lead, class_="lead") if lead else None
    return element("section", heading, lead, *content, id=identifier, aria_labelledby=f"{identifier}-title")


def table(head: Sequence[str], rows: Iterable[str], *, caption: str, classes: str | None = None) -> Markup:
    """A table of ready rows (see `row`), in a region that scrolls by itself where the page is narrow."""
    header = element("thead", element("tr", *(element("th", title, scope="col") for title in head)))
    caption_element = element("caption", caption, class_="unseen")
    inner = element("table", caption_element, header, element("tbody", *rows), class_=classes)
    return element("div", inner, class_="scroll", role="region", aria_label=caption, tabindex="0")


def row(*cells: str, **attributes: str | bool | None) -> Markup:
    """A table row; a cell that is a `td` or `th` already stays as it is."""
    return element("tr", *(cell if _is_cell(cell) else element("td", cell) for cell in cells), **attributes)


def facts(pairs: Iterable[tuple[str, str]], *, across: bool = False) -> Markup:
    """Names and values as a description list; `across` sets short ones side by side, the name above its value."""
    items = (element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    return element("dl", *items, class_="across" if across else None)


def chip(text: str, kind: str) -> Markup:
    """A small label; its kind decides the colour."""
    return element("span", text, class_=f"chip {kind}")


def basis_chip(basis: Basis) -> Markup:
    """Says what a number rests on; predictions look different from measurements."""
    return chip(BASES[basis], basis)


def bar(share: float) -> Markup:
    """A horizontal bar of `share` (0 to 1) of its width; the number itself stands beside it as text."""
    return element("span", class_="bar", style=f"--share:{100 * share:.2f}%", aria_hidden="true")


def code(text: str) -> Markup:
    """A name from a model, a path or a hash; may be broken anywhere, best behind a slash."""
    steps = text.split("/")
    return element("code", *(part for step in steps[:-1] for part in (step, Markup("/<wbr>"))), steps[-1])


def tensor_name(name: str) -> Markup:
    """A tensor's name, the first of joined ones; the whole of it under the pointer."""
    short = short_name(name)
    return code(short) if short == name else element("span", code(short), title=name)


def details(summary: str, *content: str) -> Markup:
    """Something to unfold."""
    return element("details", element("summary", summary), *content)


def _is_cell(cell: str) -> bool:
    return isinstance(cell, Markup) and cell.startswith(("<td", "<th"))


def _escaped(part: str) -> str:
    return part if isinstance(part, Markup) else escape(printable(part))


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(printable(value))}"'
