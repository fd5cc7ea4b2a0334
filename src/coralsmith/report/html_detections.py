"""The part of the page that shows what float and int8 model see: pictures and agreement."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.report import wording
from coralsmith.report.document import (
    AgreementRecord,
    ConversionReport,
    DetectionRecord,
    SampleRecord,
)
from coralsmith.report.html_elements import Markup, basis_chip, element, facts, joined, section

_NAMED_IN_ALT_TEXT: Final = 6


@dataclass(frozen=True)
class SamplePicture:
    """One image with the detections of both models drawn into it.

    Attributes:
        name: `SampleRecord.image` of the same sample.
        float_jpeg: JPEG file of what the float model found; None where the model came quantized.
        int8_jpeg: JPEG file of what the int8 model found.
    """

    name: str
    float_jpeg: bytes | None
    int8_jpeg: bytes


def detections_section(report: ConversionReport, pictures: Sequence[SamplePicture]) -> Markup | None:
    """Float against int8 on the user's own images; None where there is nothing to show."""
    samples = {sample.image: sample for sample in report.samples}
    pairs = [_pair(picture, samples[picture.name]) for picture in pictures if picture.name in samples]
    parts = [
        _agreement(report.agreement) if report.agreement else None,
        element("div", *pairs, class_="pairs") if pairs else None,
    ]
    if not any(parts):
        return None
    return section("detections", "Detections", *parts)


def _agreement(agreement: AgreementRecord) -> Markup:
    found = f"{agreement.matched} of {agreement.float_detections}"
    rest = agreement.int8_detections - agreement.matched
    pairs = [
        ("found again", f"{found} ({wording.share(agreement.matched, agreement.float_detections)})"),
        ("only in the int8 model", wording.count(rest, "detection")),
        ("images", f"{agreement.images}"),
        ("counted as the same", f"same class, IoU ≥ {agreement.iou:g}"),
        ("lowest score", f"{agreement.score_threshold:g}"),
    ]
    return joined(element("h3", "Agreement ", basis_chip("measured")), facts(pairs, across=True))


def _pair(picture: SamplePicture, sample: SampleRecord) -> Markup:
    views = [_image(picture.name, "int8", picture.int8_jpeg, sample.int8_detections)]
    if picture.float_jpeg is not None:
        views.insert(0, _image(picture.name, "float", picture.float_jpeg, sample.float_detections))
    return element("figure", element("div", *views, class_="pair"), element("figcaption", picture.name))


def _image(name: str, model: str, jpeg: bytes, detections: Sequence[DetectionRecord]) -> Markup:
    alt = f"{name}, {model} model: {_in_words(detections)}"
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    label = element("span", model, " · ", wording.count(len(detections), "detection"), class_="tag")
    return element("div", element("img", src=source, alt=alt), label, class_="view")


def _in_words(detections: Iterable[DetectionRecord]) -> str:
    named = [f"{d.label} {d.score:.2f}" for d in sorted(detections, key=lambda d: -d.score)]
    more = [f"{len(named) - _NAMED_IN_ALT_TEXT} more"] if len(named) > _NAMED_IN_ALT_TEXT else []
    return ", ".join(named[:_NAMED_IN_ALT_TEXT] + more) or "nothing"
