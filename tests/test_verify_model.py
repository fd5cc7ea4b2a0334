"""The public `verify`: files in, a report out; and what it says to those who give it the wrong ones."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

import coralsmith
from coralsmith.cli import main
from coralsmith.errors import InputError, UsageError
from coralsmith.graph.writer import write_tflite
from tests.builders import conv_graph

COLOUR = "libredge__color_red_64x64"
OTHER = "libredge__color_blue_64x64"


def pair(shared: Path, name: str = COLOUR) -> tuple[Path, Path]:
    folder = shared / "edgetpu" / "pairs" / name
    return folder / "model.tflite", folder / "model_edgetpu.tflite"


@pytest.fixture
def float_model(tmp_path: Path) -> Path:
    write_tflite(conv_graph(), tmp_path / "float.tflite")
    return tmp_path / "float.tflite"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in this process: its exit code, what it says and what it complains of."""

    def run_command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coralsmith", "verify", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run_command


def test_verify_is_public_and_takes_strings_and_paths(shared):
    source, compiled = pair(shared)
    report = coralsmith.verify(str(source), compiled)
    assert (report.verdict, report.source, report.compiled) == ("match", str(source), [str(compiled)])


def test_files_in_the_wrong_order_are_told_the_right_one(shared):
    source, compiled = pair(shared)
    with pytest.raises(InputError, match="compiled already") as error:
        coralsmith.verify(compiled, source)
    assert f"verify {source} {compiled}" in error.value.hint


def test_the_right_order_can_be_pasted_where_a_path_has_spaces(shared, tmp_path):
    source, compiled = pair(shared)
    (tmp_path / "my model.tflite").write_bytes(compiled.read_bytes())
    with pytest.raises(InputError) as error:
        coralsmith.verify(tmp_path / "my model.tflite", source)
    assert shlex.split(error.value.hint)[-2:] == [str(source), str(tmp_path / "my model.tflite")]


def test_a_source_in_place_of_a_compiled_file_is_refused(shared):
    source, _ = pair(shared)
    with pytest.raises(InputError, match="not compiled: it holds no edgetpu-custom-op") as error:
        coralsmith.verify(source, source)
    assert "_edgetpu.tflite" in error.value.hint


def test_a_float_source_is_refused(shared, float_model):
    with pytest.raises(InputError, match="float model") as error:
        coralsmith.verify(float_model, pair(shared)[1])
    assert "int8 model" in error.value.hint


@pytest.mark.parametrize("name", ["missing.tflite", "."])
def test_a_path_without_a_model_is_refused(shared, tmp_path, name):
    source, compiled = pair(shared)
    for files in ((tmp_path / name, compiled), (source, tmp_path / name)):
        with pytest.raises(InputError):
            coralsmith.verify(*files)


def test_a_truncated_file_is_refused(shared, tmp_path):
    source, compiled = pair(shared)
    (tmp_path / "cut.tflite").write_bytes(compiled.read_bytes()[:20_000])
    with pytest.raises(InputError):
        coralsmith.verify(source, tmp_path / "cut.tflite")


def test_one_file_twice_and_none_at_all_are_wrong_use(shared):
    source, compiled = pair(shared)
    for spelling in (compiled, compiled.parent / ".." / compiled.parent.name / compiled.name):
        with pytest.raises(UsageError, match="twice"):
            coralsmith.verify(source, compiled, spelling)
    with pytest.raises(UsageError, match="No compiled file"):
        coralsmith.verify(source)


def test_a_match_ends_with_0(shared, run):
    code, shown, complaints = run(*pair(shared))
    assert (code, complaints) == (0, "")
    assert "Match" in shown and "3 of 3 exact" in shown


def test_a_mismatch_ends_with_1_and_json_is_one_document(shared, run):
    code, shown, _ = run(pair(shared)[0], pair(shared, OTHER)[1], "--json")
    document = json.loads(shown)
    assert (code, document["schema"], document["verdict"]) == (1, "coralsmith/verify/1", "mismatch")
    statuses = [layer["status"] for layer in document["layers"]]
    assert document["layers_total"] == len(statuses) == 3
    for status, field in (("exact", "exact"), ("mismatch", "mismatched"), ("unverified", "unverified")):
        assert document[f"layers_{field}"] == statuses.count(status)


def test_quiet_says_nothing(shared, run):
    assert run(*pair(shared), "--quiet") == (0, "", "")


def test_what_is_unverified_is_no_failure(shared, run):
    code, shown, _ = run(*pair(shared, "libredge__gabor_64x64_p4"))
    assert code == 0 and "Unverified" in shown


def test_a_missing_segment_ends_with_2_and_names_it(shared, run):
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    (first, _) = sorted(folder.glob("*_edgetpu.tflite"))
    code, _, complaints = run(folder / "source_rebuilt.tflite", first)
    assert code == 2
    assert "segment is missing" in complaints and "segment_1_of_2" in complaints
