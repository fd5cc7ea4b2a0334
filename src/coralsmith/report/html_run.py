"""The parts of the page about the run itself: stages, files, source, detection head, versions, recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coralsmith.report import wording
from coralsmith.report.document import ConversionReport, HeadRecord, StageRecord
from coralsmith.report.html_elements import (
    Markup,
    bar,
    basis_chip,
    chip,
    code,
    details,
    element,
    facts,
    joined,
    row,
    section,
    table,
)


def run_section(report: ConversionReport) -> Markup:
    """Stage times with peak memory, and the files that were written."""
    return section("run", "The run", _stages(report), _files(report))


def model_section(report: ConversionReport) -> Markup:
    """The source, the comparison with its framework, the detection head."""
    source = report.source
    pairs = [("path", code(source.path)), ("format", source.format), ("SHA-256", code(source.sha256))]
    pairs += [("note", note) for note in source.notes]
    return section(
        "model",
        "Source model",
        facts(pairs),
        _verification(report.verification) if report.verification else None,
        _head(report.head) if report.head else None,
    )


def settings_section(report: ConversionReport) -> Markup:
    """Recipe and versions: what it takes to make the same bytes again."""
    return section(
        "settings",
        "Settings and versions",
        element("h3", "Recipe"),
        element("pre", element("code", _yaml(report.recipe)), tabindex="0"),
        element("h3", "Versions"),
        facts((name, version) for name, version in report.versions.items()),
        lead="The same model, images, recipe and versions give the same bytes.",
    )


def _stages(report: ConversionReport) -> Markup | None:
    if not report.stages:
        return None
    longest = max(stage.seconds for stage in report.stages) or 1.0
    rows = (_stage(stage, longest) for stage in report.stages)
    head = ("Stage", "Time", "Peak memory")
    title = element("h3", "Stages ", basis_chip("measured"))
    return joined(title, table(head, rows, caption="Time and peak memory of each stage", classes="stages"))


def _stage(stage: StageRecord, longest: float) -> Markup:
    peak = None if stage.peak_megabytes is None else stage.peak_megabytes * (1 << 20)
    resumed = joined(" ", chip("resumed", "measured")) if stage.resumed else None
    time = joined(
        bar(stage.seconds / longest),
        element("span", wording.duration(stage.seconds), class_="figure beside"),
    )
    return row(
        element("th", stage.name, resumed, scope="row"),
        element("td", time),
        element("td", wording.size(peak), class_="figure"),
    )


def _files(report: ConversionReport) -> Markup | None:
    if not report.files:
        return None
    rows = (
        row(
            element("th", code(file.name), scope="row"),
            element("td", wording.size(file.bytes), class_="figure"),
            element("td", code(file.sha256)),
        )
        for file in report.files
    )
    return joined(
        element("h3", "Files"), table(("File", "Size", "SHA-256"), rows, caption="Files written", classes="files")
    )


def _verification(verification: Mapping[str, Any]) -> Markup:
    """Single values as facts, the list of outputs as a table; the record decides what there is."""
    single = [(_words(key), _value(value)) for key, value in verification.items() if not isinstance(value, list)]
    outputs = verification.get("outputs", [])
    return joined(
        element("h3", "Imported model against its source ", basis_chip("measured")),
        facts(single, across=True),
        _outputs(outputs) if outputs else None,
    )


def _outputs(outputs: Sequence[Mapping[str, Any]]) -> Markup:
    names = list(outputs[0])
    rows = (row(*(_value(output.get(name)) for name in names)) for output in outputs)
    return table([_words(name) for name in names], rows, caption="Each output against the source's own")


def _words(key: str) -> str:
    return key.replace("_", " ")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return wording.number(value) if isinstance(value, float) else str(value)


def _head(head: HeadRecord) -> Markup:
    height, width = head.input_size
    pairs = [
        ("input", f"{width}×{height} pixels"),
        ("normalisation", head.normalisation),
        ("boxes", code(head.boxes)),
        ("scores", code(head.scores)),
        ("anchors", f"{head.anchors:,}"),
        ("evidence", head.evidence.replace("; ", "\n")),
    ]
    labels = details(wording.count(len(head.labels), "label"), element("p", ", ".join(head.labels)))
    return joined(element("h3", "Detection head"), facts(pairs), labels)


def _yaml(recipe: Mapping[str, Any]) -> str:
    """The recipe as the file that `--recipe` reads."""
    import yaml

    text: str = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
    return text
