"""The part of the page that shows where each operator runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from coralsmith.report import wording
from coralsmith.report.document import CompilerRecord, ConversionReport
from coralsmith.report.html_elements import (
    Markup,
    basis_chip,
    chip,
    element,
    joined,
    row,
    section,
    table,
    tensor_name,
)

_FILTERS: Final = (("all", "All"), *wording.TARGETS.items())


def network_section(report: ConversionReport) -> Markup:
    """The strip of the whole network, the operator table, and what the compiler said."""
    ops = report.check["ops"]
    counts = {target: sum(op["target"] == target for op in ops) for target in wording.TARGETS}
    shown = [(target, name) for target, name in _FILTERS if target == "all" or counts[target]]
    rules = {finding.rule for finding in report.findings}
    return section(
        "network",
        "Where each operator runs",
        element("p", *_lead(report, counts)),
        _strip(ops, counts),
        _filter(shown, {**counts, "all": len(ops)}),
        table(
            ("#", "Runs on", "Operator", "Name", "Status"),
            (_op_row(op, rules) for op in ops),
            caption="All operators of the int8 model in execution order",
            classes="ops",
        ),
        _compiler_table(report.compiler) if report.compiler.operations else None,
    )


def _lead(report: ConversionReport, counts: Mapping[str, int]) -> list[str]:
    parts = [f"{count} on {wording.TARGETS[target]}" for target, count in counts.items() if count]
    partitions = wording.count(report.check["partitions"], "Edge TPU partition")
    text = f"{', '.join(parts)}; {partitions}. "
    if report.compiler.ran and report.compiler.operations:
        text += "Operator by operator this is a prediction; the compiler's own table, by kind, stands below. "
    else:
        text += "The compiler has not run, so this is what its rules say it would do. "
    return [text, basis_chip("predicted")]


def _strip(ops: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> Markup:
    """One cell an operator, in execution order. The table says the same, so only the pointer needs the cells."""
    summary = ", ".join(f"{count} {wording.TARGETS[target]}" for target, count in counts.items() if count)
    cells = (
        element(
            "a",
            class_=f"cell {_known_target(op)}",
            href=f"#op-{op['index']}",
            title=_title(op),
            tabindex="-1",
        )
        for op in ops
    )
    legend = (
        element("span", element("i", class_=f"cell {target}", aria_hidden="true"), f" {wording.TARGETS[target]}")
        for target, count in counts.items()
        if count
    )
    return joined(
        element(
            "div",
            *cells,
            class_="strip",
            role="img",
            aria_label=f"The network in order: {summary}",
            style=f"--cells:{sum(counts.values())}",
        ),
        element("p", element("span", *legend, class_="legend"), element("output", id="pointed"), class_="under"),
    )


def _title(op: Mapping[str, Any]) -> str:
    target = wording.TARGETS[_known_target(op)]
    return " · ".join((str(op["index"]), op["kind"], wording.short_name(op["name"]), target))


def _filter(targets: Iterable[tuple[str, str]], counts: Mapping[str, int]) -> Markup:
    buttons = (
        element(
            "label",
            element("input", type="radio", name="target", id=f"show-{target}", checked=target == "all"),
            element("span", f"{name} ", element("b", f"{counts[target]}")),
        )
        for target, name in targets
    )
    return element("fieldset", element("legend", "Show operators", class_="unseen"), *buttons, class_="filter")


def _op_row(op: Mapping[str, Any], rules: set[str]) -> Markup:
    target = _known_target(op)
    rule = op["rule"]
    why = element("a", rule, href=f"#rule-{rule}") if rule in rules else rule
    return row(
        element("td", str(op["index"]), class_="figure"),
        element("td", chip(wording.TARGETS[target], target)),
        element("td", op["kind"], class_="kind"),
        element("td", tensor_name(op["name"])),
        element("td", op["status"], joined(" (", why, ")") if rule else None),
        id=f"op-{op['index']}",
        data_target=target,
    )


def _known_target(op: Mapping[str, Any]) -> str:
    return op["target"] if op["target"] in wording.TARGETS else "unknown"


def _compiler_table(compiler: CompilerRecord) -> Markup:
    rows = (
        row(
            element("td", kind, class_="kind"),
            element("td", str(count), class_="figure"),
            element("td", status),
        )
        for kind, count, status in compiler.operations
    )
    title = element("h3", f"Compiler {compiler.version or ''} ", basis_chip("compiler"))
    return joined(title, table(("Operator", "Count", "Status"), rows, caption="The compiler's operator table"))
