"""`verify` in the terminal: the verdict first, then what differs, where, and by how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from coralsmith.compiled.verification import VerifyReport, verify_models
from coralsmith.report.terminal_verify import print_verification
from tests.compiled.pairs import BIRD, INSECT, MOBILENET_V1, changed, compiled, other_weight, source, verified
from tests.report.test_terminal import Screen


def shown(report: VerifyReport, *, verbose: bool = False, width: int = 80, encoding: str = "utf-8") -> Screen:
    screen = Screen(encoding, width)
    print_verification(report, verbose=verbose, console=screen.console)
    return screen


def one_weight(shared: Path) -> VerifyReport:
    graph = changed(source(shared, MOBILENET_V1), 4, other_weight)
    return verify_models(graph, compiled(shared, MOBILENET_V1), name="folder/detector_int8.tflite")


def test_a_match_is_short(shared):
    words = shown(verified(shared, MOBILENET_V1)).words
    assert "Match" in words and "Layers with weights 28 of 28 exact" in words
    assert "Parameters 506 KiB 28 layers 506 KiB" in words
    assert "Differ" not in words and "Not verified" not in words and "Errors" not in words


def test_a_mismatch_names_the_layer_the_value_and_its_place(shared):
    words = shown(one_weight(shared)).words
    assert "detector_int8.tflite" in words and "folder" not in words
    assert "Mismatch: not compiled from this source The weights of 1 of 28 layers differ" in words.replace(
        "│ ", ""
    )
    assert "27 of 28 exact 1 differ" in words
    assert "4 CONV_2D MobilenetV1/MobilenetV1/Conv2d_2_pointwise/Relu6" in words
    assert "weights at output channel" in words and "in the source" in words and "compiled" in words


def test_many_differences_are_counted_and_verbose_tells_all(shared):
    report = verified(shared, BIRD, INSECT)
    brief, full = shown(report).words, shown(report, verbose=True).words
    assert "more; --verbose tells." in brief
    assert brief.count("in the source") < full.count("in the source")
    assert all(layer.name in full.replace(" ", "") for layer in report.layers if ";" not in layer.name)


def test_what_was_not_verified_says_why(shared):
    words = shown(verified(shared, "libredge__gabor_64x64_p4")).words
    assert "Unverified: neither proved nor disproved" in words
    assert "how a depth multiplier of 8 is packed is not known" in words
    assert "unexplained 3.12 KiB" in words


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal(shared, width, encoding):
    screen = shown(one_weight(shared), verbose=True, width=width, encoding=encoding)
    assert max(map(len, screen.text.splitlines())) <= width
