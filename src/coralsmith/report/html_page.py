"""The frame of every HTML file: it needs nothing else, no network, no other file, no framework.

A content security policy in the page lets no script run but the page's own and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files

from coralsmith.report.figures import Figure
from coralsmith.report.html_elements import Markup, basis_chip, element, joined


def page(title: str, kind: str, version: str, *content: Markup | None) -> str:
    """A self-contained HTML document.

    Args:
        title: Title of the window.
        kind: What kind of document it is, for the masthead.
        version: The version of coralsmith that made it.
        content: What stands under the masthead; the main part bears the identifier "report".

    Returns:
        The text of the file, the same for the same arguments.
    """
    script = _resource("page.js")
    document = element(
        "html",
        _head(title, script),
        element(
            "body",
            element("a", "Skip to the report", class_="skip", href="#report"),
            _masthead(kind, version),
            *content,
            element("script", script),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{document}\n"


def contents(titles: Mapping[str, str]) -> Markup:
    """Links to the sections of the page, by their identifiers."""
    links = (element("li", element("a", title, href=f"#{identifier}")) for identifier, title in titles.items())
    return element("nav", element("ul", *links), aria_label="Contents")


def figure_tiles(figures: Iterable[Figure]) -> Markup:
    """The key figures, each with what it rests on."""
    tiles = (_tile(figure) for figure in figures)
    return element("section", element("ul", *tiles), class_="figures", aria_label="Key figures")


def _head(title: str, script: Markup) -> Markup:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", _resource("page.css")),
    )


def _masthead(kind: str, version: str) -> Markup:
    return element(
        "header",
        element("span", element("b", "coral"), "smith", class_="wordmark"),
        element("span", kind),
        element("span", version, class_="version"),
    )


def _tile(figure: Figure) -> Markup:
    return element(
        "li",
        element("span", figure.title, class_="label"),
        element("span", figure.value, class_="value"),
        element("span", figure.detail, class_="detail"),
        basis_chip(figure.basis),
    )


def _resource(name: str) -> Markup:
    return joined(Markup(files(__package__).joinpath(name).read_text("utf-8")))
