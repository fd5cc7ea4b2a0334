"""What `decompile` says fits the terminal and claims no more than the record."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from coralsmith.compiled.recovery.record import SCHEMA, Decompilation, RecoveredOperator, RecoveredTensor
from coralsmith.compiled.recovery.spatial import SpatialEvidence
from coralsmith.findings import Finding
from coralsmith.report.terminal_decompile import print_decompilation

CONVOLUTION = RecoveredOperator(
    kind="CONV_2D",
    name="trunk/conv/Relu6",
    source="parameters",
    file="model_edgetpu.tflite",
    offset=64,
    bytes=1_024,
    tap_order="shown by padding",
    lost_taps=0,
    multipliers=32,
    multipliers_off=0,
    output=RecoveredTensor(0.0235, 0, "free"),
)
POSTPROCESS = RecoveredOperator("TFLite_Detection_PostProcess", "boxes", "file", None, None, 0, "", 0, 0, 0, None)
RESULT = Decompilation(
    schema=SCHEMA,
    compiled=["model_edgetpu.tflite"],
    output=Path("model.tflite"),
    bytes=2_048,
    topology="SSD MobileNet V2",
    topologies_tried=2,
    layers=1,
    parameter_bytes=1_024,
    layer_bytes=1_024,
    scales_free=1,
    scales_total=3,
    spatial=SpatialEvidence(9_000, 9_000, "confirmed"),
    operators=[CONVOLUTION, POSTPROCESS],
    findings=[Finding("free-scales", "info", "1 of 3 scales was chosen.")],
)


def printed(result: Decompilation, width: int = 80, **options: bool) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        print_decompilation(result, console=console, **options)
    return capture.get()


def test_the_model_and_the_proof_are_named():
    text = printed(RESULT)
    assert "Recovered" in text and "SSD MobileNet V2" in text
    assert "1 layer with weights" in text
    assert "2 of 3 read" in text and "Written: model.tflite" in text
    assert "Operators of the CPU" in text


def test_what_is_not_exact_is_not_called_so():
    near = replace(RESULT, operators=[replace(CONVOLUTION, multipliers_off=3)])
    assert "nearly exact" in printed(near) and "3 of 32 off" in printed(near)
    assert "nearly" not in printed(RESULT)


def test_what_is_only_assumed_is_said_to_be_so():
    assert "of the topology" in printed(RESULT) and "confirmed by the memory" in printed(RESULT)
    doubtful = replace(RESULT, spatial=SpatialEvidence(9_000, 20_000, "contradicted"))
    assert "contradicted by the memory" in printed(doubtful)


def test_every_operator_is_told_on_demand():
    assert "trunk/conv/Relu6" not in printed(RESULT)
    text = printed(RESULT, 120, verbose=True)
    assert "trunk/conv/Relu6" in text and "shown by padding" in text and "scale 0.0235 (free)" in text
    assert "TFLite_Detection_PostProcess" in text and "kept as it stood in the compiled file" in text


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    assert max(len(line.rstrip()) for line in printed(RESULT, width, verbose=True).splitlines()) <= width
