from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coralsmith.compiled.inspection import inspect_file, inspect_model
from coralsmith.compiled.inspection_report import Inspection
from coralsmith.compiled.package import parse_compiled
from coralsmith.report.terminal_inspect import print_inspection
from tests.compiled.compiled_files import compiled_bytes, layer, package, program, with_transfers
from tests.report.test_terminal import Screen


def shown(inspection: Inspection, *, verbose: bool = False, encoding: str = "utf-8", width: int = 80) -> Screen:
    screen = Screen(encoding, width)
    print_inspection(inspection, verbose=verbose, console=screen.console)
    return screen


@pytest.fixture
def segment(shared: Path) -> Inspection:
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    return inspect_file(folder / "ssd_mobilenet_v2_coco_quant_postprocess_segment_1_of_2_edgetpu.tflite")


def small(**changes: object) -> Inspection:
    changed = package(replace(program(), **changes))  # type: ignore[arg-type]
    content = compiled_bytes(changed, promised=[package()], before=True, after=True)
    return inspect_model(parse_compiled(content), name="folder/net_edgetpu.tflite", size=len(content))


def test_what_a_user_wants_first_comes_first(segment: Inspection) -> None:
    words = shown(segment).words
    order = [
        "Compiled: runs on Edge TPU runtime 12 and later",
        "3.67 MiB, written by compiler 14 to 16",
        "Parameters on chip 3.44 MiB loaded once",
        "Parameters streamed none",
        "Instructions 122 KiB sent for every image",
        "Activation memory 77 % used 150,820 of 196,608 B a tile",
        "Caching token 0x52ec5511b7f607d7",
        "conv_13/expand/Relu6 1x19x19x576 uint8 scale 0.02352848, zero 0",
        "Outputs TFLite_Detection_PostProcess 1x20x4 float32",
        "On the CPU DEQUANTIZE 2 after the Edge TPU",
        "TFLite_Detection_PostProcess 1 after the Edge TPU",
        "Warnings shared-token",
    ]
    places = [words.find(part) for part in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_verbose_shows_programs_transfers_and_layouts(segment: Inspection) -> None:
    words = shown(segment, verbose=True).words
    for part in (
        "Program 0: EXECUTION_ONLY the inference",
        "Instructions 124,608 B 7,788 bundles in 1 chunk",
        "out convert_scores 1x1917x91 uint8, 176,368 B; scale 0.00390625, zero 0; on 4 tiles",
        "7 transfers announced, all of them",
        "output from the chip 7,672 B at 0 Squeeze1",
        "Program 1: PARAMETER_CACHING loads the parameters, once",
        "parameter to the chip 3,608,512 B at 0",
    ):
        assert part in words, part
    assert "Program 0" not in shown(segment).words


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_it_fits_the_terminal_in_every_encoding(segment: Inspection, encoding: str, width: int) -> None:
    text = shown(segment, verbose=True, encoding=encoding, width=width).text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_the_operators_on_the_cpu_stand_where_they_run() -> None:
    words = shown(small()).words
    assert "QUANTIZE 1 before the Edge TPU" in words and "DEQUANTIZE 1 after the Edge TPU" in words


def test_a_damaged_file_is_called_damaged_and_says_why() -> None:
    words = shown(small(chip="other")).words
    assert "Damaged: the Edge TPU runtime would refuse this file, or compute nonsense" in words
    assert "Errors other-chip" in words


def test_costs_for_every_image_are_shown() -> None:
    costly = with_transfers(program(parameters=bytes(2048), scratch_bytes=4096, estimated_cycles=500_000))
    content = compiled_bytes(package(costly))
    words = shown(inspect_model(parse_compiled(content), name="it", size=len(content))).words
    assert "Parameters streamed 2.00 KiB sent for every image" in words
    assert "Host memory 4.00 KiB spilled to and fetched for every image" in words
    assert "Compiler's estimate 500,000 cycles 1.00 ms without transfers" in words


def test_a_model_that_was_never_compiled_shows_no_empty_tables(shared: Path) -> None:
    words = shown(inspect_file(shared / "edgetpu" / "pairs" / "libredge__dense_256" / "model.tflite")).words
    assert "Not compiled: nothing of it runs on the Edge TPU" in words
    assert "Errors not-compiled" in words and "Parameters" not in words


def test_a_name_from_a_file_cannot_act_on_the_terminal() -> None:
    wild = "in\x1b]0;owned\x07[bold red]:boom:\u202e"
    content = compiled_bytes(package(program(inputs=(layer(wild, 4, 4, 8),))))
    inspection = inspect_model(parse_compiled(content), name=wild, size=len(content))
    text = shown(inspection, verbose=True, width=120).text
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "[bold red]:boom:" in text
