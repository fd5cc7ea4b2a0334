"""The command line: exit codes, JSON purity, and what it never imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import coralsmith
from coralsmith.cli import app, main
from tests.tiny_detector import write_photos, write_tiny_detector

pytestmark = pytest.mark.slow

HEAVY = ("tensorflow", "torch", "keras", "jax")


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coralsmith", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=120)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def test_every_command_of_this_release_shows_help_with_an_example() -> None:
    commands = (
        "convert",
        "check",
        "quantize",
        "compile",
        "doctor",
        "head",
        "detect",
        "demo",
        "inspect",
        "verify",
        "evaluate",
    )
    for command in commands:
        shown = run(command, "--help")
        assert shown.returncode == 0
        assert f"coralsmith {command}" in shown.stdout
        assert "Example" in shown.stdout


def test_the_version_is_told_without_a_command() -> None:
    shown = run("--version")
    assert (shown.returncode, shown.stdout.strip()) == (0, f"coralsmith {coralsmith.__version__}")


def test_convert_writes_into_a_folder_named_after_the_model(model: Path, photos: Path, tmp_path: Path) -> None:
    done = run("convert", model, "--images", photos, "--compiler", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tiny-edgetpu" / "tiny_int8.tflite").is_file()
    assert "not compiled" in done.stdout


def test_json_is_one_document_and_nothing_else(model: Path, photos: Path, tmp_path: Path) -> None:
    done = run("convert", model, "--images", photos, "--json", "--out", tmp_path / "out")
    assert json.loads(done.stdout)["verdict"]["status"] == "int8-ready"


def test_check_of_a_float_model_ends_with_1_because_the_compiler_would_refuse_it(model: Path) -> None:
    done = run("check", model, "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["schema"] == "coralsmith/check/1"
    assert "not-quantized" in [finding["rule"] for finding in document["findings"]]


def test_check_foretells_all_partitions_where_it_is_asked_to(model: Path) -> None:
    plain, asked = (
        json.loads(run("check", model, "--json", *more).stdout) for more in ((), ("--all-partitions",))
    )
    assert (plain["all_partitions"]["asked"], asked["all_partitions"]["asked"]) == (False, True)
    assert asked["ops_edgetpu"] == asked["all_partitions"]["ops_edgetpu"] == plain["all_partitions"]["ops_edgetpu"]


def test_check_of_an_int8_model_ends_with_0(model: Path, photos: Path, tmp_path: Path) -> None:
    assert run("quantize", model, "--images", photos, "-o", tmp_path / "int8.tflite").returncode == 0
    done = run("check", tmp_path / "int8.tflite", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["ops_edgetpu"] == document["ops_total"]


def test_inspect_looks_into_a_compiled_model_and_refuses_another(shared: Path) -> None:
    pair = shared / "edgetpu" / "pairs" / "libredge__dense_256"
    done = run("inspect", pair / "model_edgetpu.tflite", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert (document["schema"], document["on_chip_bytes"]) == ("coralsmith/inspect/1", 67_584)
    shown = run("inspect", pair / "model.tflite")
    assert shown.returncode == 1
    assert "Not compiled" in shown.stdout


def test_detect_gives_the_detections_of_each_image_and_draws_them(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    image = next(photos.glob("*.png"))
    done = run("detect", model, image, "--min-score", "0.2", "--draw", tmp_path / "drawn", "--json")
    found = json.loads(done.stdout)[str(image)]
    assert set(found[0]) == {"label", "class_id", "score", "box"}
    assert found[0]["label"] in ("left", "right")
    assert len(list((tmp_path / "drawn").glob("*.jpg"))) == 1


def test_head_shows_and_writes_the_head(model: Path, tmp_path: Path) -> None:
    done = run("head", model, "-o", tmp_path / "copy.json", "--json")
    assert json.loads(done.stdout)["schema"] == "coralsmith/head/1"
    assert json.loads((tmp_path / "copy.json").read_text())["labels"] == ["left", "right"]


def test_wrong_input_ends_with_2_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3 and nothing behind it")
    done = run("check", tmp_path / "broken.tflite")
    assert done.returncode == 2
    assert done.stderr.startswith("Error:")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["convert", "head", "check"])
def test_pytorch_weights_given_by_the_wrong_option_are_told_the_right_form(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--factory", "net:make", "--weights", "trained.pth"])
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "coralsmith COMMAND trained.pth --factory package.module:function" in said


def test_an_error_under_json_is_a_document_too(tmp_path: Path) -> None:
    done = run("check", tmp_path / "missing.tflite", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["schema"] == "coralsmith/error/1"


def test_compile_without_a_compiler_ends_with_3_and_the_command_to_run(model: Path, tmp_path: Path) -> None:
    done = run("compile", model, "--compiler", tmp_path / "edgetpu_compiler")
    assert done.returncode == 3


def test_quantize_never_replaces_the_float_model(model: Path, photos: Path) -> None:
    before = model.read_bytes()
    done = run("quantize", model, "--images", photos, "-o", model)
    assert done.returncode == 2
    assert "the float model itself" in done.stderr
    assert model.read_bytes() == before


def test_an_interrupt_ends_with_130_and_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("coralsmith.check_model.check", interrupted)
    monkeypatch.setattr("sys.argv", ["coralsmith", "check", "model.tflite"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert "Stopped" in capsys.readouterr().err


def test_wrong_use_ends_with_2() -> None:
    assert run("convert").returncode == 2
    assert run("check", "x.tflite", "--min-runtime", "99").returncode == 2


def test_light_commands_never_import_a_framework_or_the_interpreter(model: Path) -> None:
    script = (
        "import sys; from coralsmith.check_model import check; check(sys.argv[1]); "
        "print([m for m in sys.modules if m.split('.')[0] in sys.argv[2:] or m.endswith('interpreter')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(model), *HEAVY], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_coralsmith_imports_nothing_else_of_it() -> None:
    script = "import sys, coralsmith; print([m for m in sys.modules if m.startswith('coralsmith.')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
