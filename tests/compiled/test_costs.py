"""What a compiled model costs for every image is counted from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coralsmith.compiled.costs import cpu_places, multiply_accumulates
from coralsmith.compiled.inspection import inspect_model
from coralsmith.compiled.package import Package, parse_compiled, read_compiled
from coralsmith.findings import Finding
from tests.builders import conv_graph
from tests.compiled.compiled_files import compiled_bytes, layer, package, program


def found(one: Package, **how: Any) -> list[Finding]:
    content = compiled_bytes(one, **how)
    return inspect_model(parse_compiled(content), name="it", size=len(content)).findings


def test_streamed_parameters_are_counted_and_timed():
    (finding,) = found(package(program(parameters=bytes(1 << 20))))
    assert finding.rule == "parameters-streamed"
    assert finding.measured == "1,048,576 B, about 2.3 to 18.0 ms for every image over USB 3"


def test_operators_on_the_cpu_are_placed_and_counted():
    findings = {finding.rule: finding.measured for finding in found(package(), before=True, after=True)}
    assert findings == {
        "cpu-before": "1 QUANTIZE, reading 128 values",
        "cpu-after": "1 DEQUANTIZE, reading 16 values",
    }


def two_programs(**second: Any) -> bytes:
    other = program(inputs=(layer("second", 4, 4, 8),), outputs=(layer("last", 1, 1, 16),), **second)
    return compiled_bytes(package(), package(other))


def test_several_programs_cost_and_must_share_a_token():
    for token, rules_found in (
        (program().caching_token, ["several-programs"]),
        (99, ["several-tokens", "several-programs"]),
    ):
        content = two_programs(caching_token=token)
        inspection = inspect_model(parse_compiled(content), name="it", size=len(content))
        assert [finding.rule for finding in inspection.findings] == rules_found


def test_layers_with_weights_on_the_cpu_are_a_warning_with_their_work(shared: Path):
    deeplab = shared / "edgetpu" / "pairs" / "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant" / "model_edgetpu.tflite"
    model = read_compiled(deeplab)
    kinds = [(op.kind, place) for _, op, place in cpu_places(model)]
    assert kinds[2] == ("CONV_2D", "after")
    # 33x33 positions: 512 to 256 channels, then 256 to 21 classes
    expected = 33 * 33 * (512 * 256 + 256 * 21)
    assert sum(multiply_accumulates(op) or 0 for _, op, _ in cpu_places(model)) == expected


def test_the_work_of_a_convolution_follows_from_its_shapes():
    conv = conv_graph().ops[0]
    filters = conv.required_input("filter").shape
    output = conv.output.shape
    assert multiply_accumulates(conv) == output[1] * output[2] * filters[0] * filters[1] * filters[2] * filters[3]
