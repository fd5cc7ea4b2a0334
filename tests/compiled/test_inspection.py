"""What is told about a compiled file agrees with what is known of it otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import coralsmith
from coralsmith.compiled.executable import TileLayout
from coralsmith.compiled.inspection import inspect_file, inspect_model
from coralsmith.compiled.inspection_report import Inspection
from coralsmith.compiled.package import Package, parse_compiled
from coralsmith.compiled.rules import compiler_range
from coralsmith.compiler.log import parse_log
from coralsmith.errors import InputError, MalformedModelError
from coralsmith.graph.reader import read_tflite
from tests.compiled.compiled_files import compiled_bytes, layer, package, program, with_transfers, write_compiled

SEGMENT = "ssd_mobilenet_v2_coco_quant_postprocess_segment_{}_of_2_edgetpu.tflite"


@pytest.fixture
def pairs(shared: Path) -> Path:
    return shared / "edgetpu" / "pairs"


@pytest.fixture
def segments(shared: Path) -> list[Path]:
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    return [folder / SEGMENT.format(number) for number in (0, 1)]


def inspected(*packages: Package) -> Inspection:
    content = compiled_bytes(*packages)
    return inspect_model(parse_compiled(content, allow_stubs=True), name="it", size=len(content))


def test_the_memory_agrees_with_what_the_compiler_printed(pairs: Path) -> None:
    logs = sorted(pairs.glob("*/compile.log"))
    assert len(logs) == 5
    for log in logs:
        operations = parse_log(log.read_text("utf-8")).operations
        on_cpu = sum(row.count for row in operations if not row.is_mapped)
        assert len(inspect_file(log.with_name("model_edgetpu.tflite")).cpu_ops) == on_cpu


def test_inputs_and_outputs_are_those_of_the_source(pairs: Path) -> None:
    for compiled in sorted(pairs.glob("*/model_edgetpu.tflite")):
        source = read_tflite(compiled.with_name("model.tflite"))
        inspection = inspect_file(compiled)
        for tensors, records in ((source.inputs, inspection.inputs), (source.outputs, inspection.outputs)):
            assert [(t.name, t.shape, t.dtype.name) for t in tensors] == [
                (record.name, record.shape, record.data_type) for record in records
            ]
            scales = [None if t.quant is None else float(t.quant.scale[0]) for t in tensors]
            assert scales == [record.scale for record in records], compiled


def test_a_segment_of_a_pipeline(segments: list[Path]) -> None:
    first, second = map(inspect_file, segments)
    assert (first.min_runtime, first.chips, first.chip_numbers, first.programs) == (12, ["beagle"], [18], 1)
    assert (first.on_chip_bytes, first.streamed_bytes) == (2_914_752, 0)
    assert first.caching_token == second.caching_token == "0x52ec5511b7f607d7"
    assert [op.kind for op in second.cpu_ops] == ["DEQUANTIZE", "DEQUANTIZE", "TFLite_Detection_PostProcess"]
    assert {op.place for op in second.cpu_ops} == {"after"}
    inference, caching = first.executables
    assert (inference.type, caching.type) == ("EXECUTION_ONLY", "PARAMETER_CACHING")
    assert (inference.instruction_bytes, inference.narrow_memory_bytes_per_tile) == (162_848, 188_256)
    assert [hint.kind for hint in caching.dma_hints] == ["instructions", "descriptor", "interrupt"]
    assert inference.estimated_cycles is None
    outputs = second.executables[0].outputs
    assert [(o.shape, o.zero_point) for o in outputs] == [((1, 1917, 4), 179), ((1, 1917, 91), 0)]
    assert [o.layout.tiles for o in outputs if o.layout] == [4, 4]


def test_segments_that_share_a_token_must_not_take_turns_on_one_chip(segments: list[Path], tmp_path: Path) -> None:
    for number, other in ((0, 1), (1, 0)):
        (finding,) = [f for f in inspect_file(segments[number]).findings if f.rule == "shared-token"]
        assert finding.severity == "warning"
        assert finding.measured == f"0x52ec5511b7f607d7 also in segment {other}"
    alone = shutil.copy(segments[1], tmp_path)
    assert "shared-token" not in [finding.rule for finding in inspect_file(alone).findings]


def test_segments_with_tokens_of_their_own_may(tmp_path: Path) -> None:
    names = [f"net_segment_{number}_of_3_edgetpu.tflite" for number in range(3)]
    for number, name in enumerate(names[:2]):
        token = 40 + number
        executables = (program(caching_token=token), program("PARAMETER_CACHING", caching_token=token))
        write_compiled(tmp_path, package(*executables), name=name)
    (tmp_path / names[2]).write_bytes(b"damaged")
    assert inspect_file(tmp_path / names[0]).findings == []


@pytest.mark.parametrize(
    ("min_runtime", "names_chips", "versions"),
    [
        (10, False, "1.0"),
        (12, False, "2.0 "),
        (12, True, "with -m 12"),
        (13, False, "2.0.291256449 to 15.0"),
        (14, True, "16.0"),
        (11, False, "unknown"),
        (99, True, "unknown"),
    ],
)
def test_the_minimum_runtime_tells_the_compiler(min_runtime: int, names_chips: bool, versions: str) -> None:
    found = compiler_range(min_runtime, names_chips=names_chips)
    assert versions in found.versions
    assert found.evidence


def test_files_with_a_log_were_written_by_the_version_that_is_deduced(pairs: Path) -> None:
    for log in pairs.glob("*/compile.log"):
        version = parse_log(log.read_text("utf-8")).version
        compiler = inspect_file(log.with_name("model_edgetpu.tflite")).compiler
        assert compiler is not None and version is not None
        assert compiler.versions.startswith(version[:4])


def test_several_programs_are_told_apart_by_their_operator() -> None:
    other = with_transfers(program(inputs=(layer("second", 4, 4, 8),), outputs=(layer("last", 1, 1, 16),)))
    inspection = inspected(package(), replace(package(other), min_runtime=13, chips=()))
    assert (inspection.programs, inspection.min_runtime) == (2, 14)
    assert [(e.operator, e.type) for e in inspection.executables] == [
        (0, "EXECUTION_ONLY"),
        (0, "PARAMETER_CACHING"),
        (1, "EXECUTION_ONLY"),
    ]
    assert inspection.on_chip_bytes == 512


def test_the_parts_of_the_file_add_up(pairs: Path) -> None:
    path = pairs / "jorgi__model_size_channel82_quant" / "model_edgetpu.tflite"
    inspection = inspect_file(path)
    file = inspection.file
    assert file.file_bytes == path.stat().st_size
    assert file.instruction_bytes + file.parameter_bytes < file.package_bytes < file.file_bytes
    assert inspection.executables[0].instruction_chunks == (257_072, 55_120)


def test_a_layout_without_tiles_is_none_used() -> None:
    bare = TileLayout((), (), (), (), (), ())
    inspection = inspected(
        package(with_transfers(program(outputs=(replace(layer("out", 1, 1, 16), layout=bare),))))
    )
    layout = inspection.executables[0].outputs[0].layout
    assert layout is not None and (layout.tiles, layout.rows, layout.columns) == (0, 0, 0)


def test_a_model_that_was_never_compiled_has_nothing_to_tell_but_that(pairs: Path) -> None:
    inspection = inspect_file(pairs / "libredge__dense_256" / "model.tflite")
    assert inspection.is_refused
    assert (inspection.min_runtime, inspection.compiler, inspection.executables) == (None, None, [])
    assert [finding.rule for finding in inspection.findings] == ["not-compiled"]


def test_the_public_function_takes_text_and_a_home(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pairs / "libredge__dense_256" / "model_edgetpu.tflite"
    monkeypatch.setenv("HOME", str(path.parent))
    inspection = coralsmith.inspect("~/model_edgetpu.tflite")
    assert (inspection.model, inspection.on_chip_bytes) == ("~/model_edgetpu.tflite", 67_584)


def test_what_is_no_file_or_no_model_is_refused(pairs: Path, tmp_path: Path) -> None:
    content = (pairs / "libredge__dense_256" / "model_edgetpu.tflite").read_bytes()
    cut = tmp_path / "cut_edgetpu.tflite"
    cut.write_bytes(content[:-200])
    for path, error in (
        (tmp_path, InputError),
        (tmp_path / "none.tflite", InputError),
        (cut, MalformedModelError),
    ):
        with pytest.raises(error):
            inspect_file(path)


def test_inspecting_needs_neither_interpreter_nor_framework(pairs: Path) -> None:
    path = pairs / "libredge__dense_256" / "model_edgetpu.tflite"
    code = (
        "import sys, coralsmith; coralsmith.inspect(sys.argv[1]);"
        "assert not {'tensorflow', 'torch', 'ai_edge_litert.interpreter'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
