"""The report of a conversion as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coralsmith.report.document import ConversionReport, Verdict
from coralsmith.report.figures import key_figures
from coralsmith.report.html_accuracy import accuracy_section
from coralsmith.report.html_chip import chip_section
from coralsmith.report.html_compiler import attempts_section
from coralsmith.report.html_detections import SamplePicture, detections_section
from coralsmith.report.html_elements import Markup, element, joined
from coralsmith.report.html_explanation import explanation_section
from coralsmith.report.html_findings import findings_section
from coralsmith.report.html_network import network_section
from coralsmith.report.html_page import contents, figure_tiles, page
from coralsmith.report.html_quantization import quantization_section
from coralsmith.report.html_repairs import repairs_section
from coralsmith.report.html_run import model_section, run_section, settings_section

__all__ = ["SamplePicture", "render_html"]

_CONTENTS: Final = {
    "detections": "Detections",
    "accuracy": "Accuracy",
    "findings": "Findings",
    "network": "Operators",
    "chip": "Memory and latency",
    "quantization": "Quantization",
    "explanation": "Where int8 differs",
    "repairs": "Repairs",
    "attempts": "Compiling",
    "run": "The run",
    "model": "Source model",
    "settings": "Settings",
}
_SIGNS: Final = {"compiled": "✓", "int8-ready": "→", "blocked": "×"}


def render_html(report: ConversionReport, pictures: Sequence[SamplePicture] = ()) -> str:
    """The report as a self-contained HTML document.

    Args:
        report: The records of a run.
        pictures: Images with drawn detections, for samples of the report.

    Returns:
        The text of the file, the same for the same arguments.
    """
    sections = {
        "detections": detections_section(report, pictures),
        "accuracy": accuracy_section(report),
        "findings": findings_section(report),
        "network": network_section(report),
        "chip": chip_section(report),
        "quantization": quantization_section(report),
        "explanation": explanation_section(report),
        "repairs": repairs_section(report),
        "attempts": attempts_section(report),
        "run": run_section(report),
        "model": model_section(report),
        "settings": settings_section(report),
    }
    return page(
        f"{report.name}: {report.verdict.title}",
        "conversion report",
        report.versions.get("coralsmith", ""),
        contents({name: _CONTENTS[name] for name, section in sections.items() if section}),
        element("main", _verdict(report), _figures(report), *sections.values(), id="report"),
    )


def _verdict(report: ConversionReport) -> Markup:
    verdict = report.verdict
    return element(
        "section",
        element("span", _SIGNS[verdict.status], class_="sign", aria_hidden="true"),
        element(
            "div",
            element("p", report.name, class_="model-name"),
            element("h1", verdict.title),
            element("p", verdict.text, class_="text"),
            _next_step(verdict) if verdict.next_step or verdict.command else None,
        ),
        class_=f"verdict {verdict.status}",
        aria_label="Verdict",
    )


def _next_step(verdict: Verdict) -> Markup:
    """What to do next and the command for it; its button appears where the page's script runs."""
    command = joined(
        element("pre", element("code", verdict.command, id="command"), tabindex="0"),
        element("button", "Copy", type="button", data_copy="command", hidden=True),
    )
    text = element("p", element("b", "Next: "), verdict.next_step) if verdict.next_step else None
    return element("div", text, command if verdict.command else None, class_="next")


def _figures(report: ConversionReport) -> Markup:
    return figure_tiles(key_figures(report))
