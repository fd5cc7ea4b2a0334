from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from coralsmith.findings import Finding
from coralsmith.report.document import ConversionReport, QuantizationRecord
from coralsmith.report.html import SamplePicture, render_html
from coralsmith.report.plain import to_json
from tests.report.example_report import (
    blocked_report,
    compiled_report,
    example_pictures,
    example_report,
    jpeg,
)

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[2J\u202e"
VOID = {"img", "input", "link", "meta", "wbr"}


class Page(HTMLParser):
    """A page as a browser sees it; an element that is not closed in order is an error."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [value for _, found in self.elements if (value := found.get(attribute)) is not None]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(example_report(), example_pictures()))


def hostile(value: object) -> object:
    """A report's records with every text replaced; the few that choose between known forms stay."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        kept = ("target",)
        return {key: item if key in kept else hostile(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(hostile(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = ("status", "severity", "form")
        names = [field.name for field in dataclasses.fields(value)]
        return type(value)(
            **{n: item if n in kept else hostile(item) for n in names for item in [getattr(value, n)]}
        )
    return value


@pytest.mark.parametrize("make", [example_report, compiled_report, blocked_report])
def test_every_report_is_well_formed_html(make: Callable[[], ConversionReport]) -> None:
    report = make()
    page = Page(render_html(report, example_pictures()))
    assert page.all("html") == [{"lang": "en"}]
    assert report.verdict.title in page.text


def test_ids_are_unique_and_every_link_leads_somewhere(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    assert all(link.startswith("#") for link in page.values("href"))
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    text = render_html(example_report(), example_pictures())
    assert not re.search(r"url\(|@import|https?://", text)


def test_the_content_policy_allows_no_script_but_the_page_s_own() -> None:
    text = render_html(example_report())
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in Page(text).all("meta") if "http-equiv" in meta]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


@pytest.mark.parametrize("make", [example_report, compiled_report, blocked_report])
def test_no_text_of_a_report_becomes_html(make: Callable[[], ConversionReport]) -> None:
    report = hostile(make())  # type: ignore[operator]
    assert isinstance(report, ConversionReport)
    pictures = [SamplePicture(HOSTILE, jpeg("navy"), jpeg("teal"))]
    page = Page(render_html(report, pictures))
    assert len(page.all("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    assert "alert(1)" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_the_verdict_comes_first_with_the_command_to_copy(page: Page) -> None:
    assert page.all("section")[0]["class"] == "verdict int8-ready"
    assert page.all("button") == [{"type": "button", "data-copy": "command", "hidden": None}]
    assert "edgetpu_compiler -s coco_ssdlite_int8.tflite" in page.text


def test_both_models_are_shown_side_by_side_with_their_detections_in_words(page: Page) -> None:
    alternatives = [image["alt"] for image in page.all("img")]
    assert alternatives[:2] == [
        "000000001000.jpg, float model: dog 0.91, person 0.77",
        "000000001000.jpg, int8 model: dog 0.88, person 0.77",
    ]
    assert alternatives[-1] == "holiday photo (3).jpg, int8 model: nothing"
    assert page.all("img")[0]["src"] == f"data:image/jpeg;base64,{base64.b64encode(jpeg('navy')).decode()}"


def test_a_model_that_came_quantized_is_shown_alone() -> None:
    pictures = [SamplePicture("000000001000.jpg", None, jpeg("teal"))]
    assert len(Page(render_html(example_report(), pictures)).all("img")) == 1


def test_every_operator_is_a_cell_of_the_strip_and_a_row_of_the_table(page: Page) -> None:
    cells = [a for a in page.all("a") if str(a.get("class")).startswith("cell")]
    rows = [row for row in page.all("tr") if "data-target" in row]
    assert [cell["class"] for cell in cells] == [f"cell {row['data-target']}" for row in rows]
    assert len(rows) == 116
    assert [row["data-target"] for row in rows].count("cpu") == 3
    assert cells[-1]["title"] == "115 · CUSTOM · TFLite_Detection_PostProcess · CPU"


def test_operators_can_be_filtered_by_the_targets_that_occur(page: Page) -> None:
    assert [field["id"] for field in page.all("input")] == ["show-all", "show-edgetpu", "show-cpu"]


def test_a_rule_of_an_operator_leads_to_its_finding(page: Page) -> None:
    assert "#rule-float-output" in page.values("href")
    assert "rule-float-output" in page.values("id")


@pytest.mark.slow
def test_every_prediction_says_so() -> None:
    without = Page(render_html(example_report()))
    compiled = Page(render_html(compiled_report()))
    chips = {
        name: [a["class"] for a in found.all("span") if str(a.get("class")).startswith("chip")]
        for name, found in (("without", without), ("compiled", compiled))
    }
    # Figures: operators, memory, latency. Sections: operators, parameters, their layers, activations, latency.
    assert chips["without"].count("chip predicted") == 8
    assert chips["without"].count("chip compiler") == 0
    # The compiler's word replaces operators and memory among the figures; the sections show both.
    assert chips["compiled"].count("chip predicted") == 6
    assert chips["compiled"].count("chip compiler") == 4


def test_layers_are_listed_noisiest_first(page: Page) -> None:
    text = page.text[page.text.index("Layers, int8 against float") :]
    shown = [float(value) for value in re.findall(r"([\d.]+) dB", text)]
    layers = example_report().quantization.layers
    assert shown[: len(layers)] == [round(layer.sqnr_db, 1) for layer in sorted(layers, key=lambda x: x.sqnr_db)]


def test_findings_bear_fix_and_evidence(page: Page) -> None:
    for finding in example_report().findings:
        assert finding.reason in page.text
        assert finding.fix in page.text
        assert finding.evidence in page.text


def test_a_report_without_findings_says_so() -> None:
    report = dataclasses.replace(example_report(), findings=())
    text = Page(render_html(report)).text
    assert "None." in text[text.index(" Findings") :]


def test_files_and_source_are_shown_with_their_whole_hash(page: Page) -> None:
    report = example_report()
    for digest in (report.source.sha256, *(file.sha256 for file in report.files)):
        assert digest in page.text


def test_sections_without_content_are_left_out_of_page_and_contents() -> None:
    page = Page(render_html(blocked_report()))
    assert [link["href"] for link in page.all("a") if "class" not in link] == [
        "#findings",
        "#network",
        "#chip",
        "#quantization",
        "#run",
        "#model",
        "#settings",
    ]


def test_a_model_that_came_quantized_says_that_nothing_was_calibrated() -> None:
    record = QuantizationRecord(None, "min-max", "per-channel")
    text = Page(render_html(dataclasses.replace(example_report(), quantization=record))).text
    assert "the model came quantized" in text


def test_many_places_of_one_finding_are_folded() -> None:
    many = tuple(Finding("dead-tensor", "warning", "It is zero.", tensor=f"t{i}") for i in range(30))
    page = Page(render_html(dataclasses.replace(example_report(), findings=many)))
    assert page.text.count("It is zero.") == 1
    assert "26 more" in page.text


def test_the_same_report_gives_the_same_bytes() -> None:
    report = example_report()
    before = to_json(report)
    assert render_html(report, example_pictures()) == render_html(report, example_pictures())
    assert to_json(report) == before


def test_repairs_of_one_kind_are_one_card_with_the_worst_proof() -> None:
    exact = example_report().repairs[0]
    worse = dataclasses.replace(exact, before=("extra_2/HARD_SWISH",), worst_difference=5.5e-07)
    many = (exact, *[worse] * 9)
    page = Page(render_html(dataclasses.replace(example_report(), repairs=many)))
    text = " ".join(page.text.split())
    assert text.count(exact.reason) == 1
    assert "exact 10 times" in text
    assert "7 more" in text
    assert "worst difference 5.5e-07 of the output's range" in text


def test_the_ledger_the_gate_and_the_classes_are_shown(page: Page) -> None:
    assert "TensorFlow 2.21.0" in page.text and "+0.0070" in page.text and "-0.0020 to +0.0160" in page.text
    assert "AP may drop by 0.01" in page.text and "inside, taken" in page.text
    assert "not tried: PyTorch is not installed." in page.text
    assert "zebra" not in page.text  # the images hold none


def test_without_labelled_images_there_is_no_section_about_accuracy() -> None:
    assert "accuracy" not in Page(render_html(blocked_report())).values("id")


def test_the_error_of_int8_is_explained(page: Page) -> None:
    for words in (
        "55.0%",
        "106% of the error of boxes",
        "1.20%",
        "-0.0210",
        "int8 holds -2.5 to 7.5; 0.20% clipped",
    ):
        assert words in page.text
    assert page.text.index("first_relu6", page.text.index("Share of the error")) < page.text.index("boxes_pred")


def test_without_the_costly_part_the_page_tells_how_to_get_it() -> None:
    report = example_report()
    assert report.explanation is not None
    cheap = dataclasses.replace(report, explanation=dataclasses.replace(report.explanation, attribution=None))
    assert "--explain" in Page(render_html(cheap)).text
