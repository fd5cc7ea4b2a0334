"""Only a result about which everything agrees becomes a file named as a compiled model."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.compiler.local import LocalCompiler
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.proof import Origin, prove_origin
from coralsmith.compiler.run import compile_model
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.errors import CompilerError, InputError, OutputError, UnsupportedModelError, UsageError
from coralsmith.findings import Finding
from coralsmith.graph.model import Tensor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import serialize_for_interpreter
from tests.compiler.conftest import errors

pytestmark = pytest.mark.slow


def arguments_seen(stand_in: Path) -> list[str]:
    """What the stand-in was called with last."""
    return (stand_in.parent / "state" / "arguments").read_text().split("\n")


# Success.


def test_a_success_keeps_the_compilers_own_bytes(run, pair, tmp_path):
    compilation = run("success")
    assert compilation.succeeded and compilation.findings == []
    assert compilation.model == tmp_path / "out" / "model_edgetpu.tflite"
    assert compilation.model.read_bytes() == (pair / "model_edgetpu.tflite").read_bytes()
    assert "Mapped to Edge TPU" in compilation.log.read_text()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model_edgetpu.tflite", "model_edgetpu.log"}


def test_memory_lines_come_from_standard_output_and_the_table_from_the_log(run):
    result = run("success").result
    assert (result.mapped, result.operations_total, result.subgraphs) == (3, 3, 1)
    assert result.on_chip_used_bytes == 66 * 1024
    assert result.streamed_bytes == 0


@pytest.mark.parametrize("version", ["2.0.291256449", "2.1.302470888", "14.1.317412892", "15.0.340273435"])
def test_the_formats_of_older_versions_are_understood(run, version):
    result = run("success", variables={"version": version}).result
    assert (result.version, result.mapped, result.on_chip_used_bytes) == (version, 3, 66 * 1024)
    assert (result.on_chip_available_bytes is not None) == version.startswith("2.0")


@pytest.mark.parametrize(
    "name",
    ["my model", "it's $(touch pwned)", "a;b&&c", "-s", 'double "quotes"', "line\nbreak", "ünïcödé", "$HOME"],
)
def test_names_of_files_are_only_ever_local(name, compiler, pair, behave, stand_in, tmp_path, monkeypatch):
    behave("success")
    folder = tmp_path / f"folder of {name}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    model = folder / f"{name}.tflite"
    model.write_bytes((pair / "model.tflite").read_bytes())
    compilation = compile_model(model, compiler, folder / f"out {name}")
    assert compilation.model == folder / f"out {name}" / f"{name}_edgetpu.tflite"
    assert arguments_seen(stand_in)[-3:] == ["-o", "out", "model.tflite"]
    assert not list(tmp_path.rglob("pwned"))


def test_a_compiler_in_a_folder_with_a_space_is_called_through_a_plain_one(pair, stand_in, behave, tmp_path):
    behave("success")
    spaced = tmp_path / "Program Files"
    spaced.mkdir()
    launcher = spaced / "edgetpu_compiler"
    launcher.write_text(f'#!/bin/sh\ncase "$0" in *" "*) exit 7;; esac\nexec {stand_in} "$@"\n')
    launcher.chmod(0o755)
    assert compile_model(pair / "model.tflite", LocalCompiler(launcher, "option"), tmp_path / "out").succeeded


def test_temporary_files_avoid_a_folder_with_a_space(run, tmp_path, monkeypatch):
    (tmp_path / "my temporary files").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "my temporary files"))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert run("success").succeeded
    assert list((tmp_path / "my temporary files").iterdir()) == []


def test_options_become_arguments(run, stand_in):
    run("success", options=CompilerOptions(13, subgraphs=True, search_step=5, cut=("a;b", "c d")), timeout_s=77)
    assert arguments_seen(stand_in) == [
        *("-s", "-m", "13", "-a", "-d", "--delegate_search_step", "5", "-i", "a;b,c d"),
        *("-t", "77", "-o", "out", "model.tflite"),
    ]


def test_only_version_16_has_a_timer_of_its_own(run, stand_in):
    run("success", variables={"version": "15.0.340273435"})
    assert "-t" not in arguments_seen(stand_in)


@pytest.mark.slow
def test_every_published_pair_is_accepted_and_every_cpu_operator_named(compiler, shared, behave, tmp_path):
    """The stand-in hands out the real compiler's output, with a table counted in it."""
    for folder in sorted((shared / "edgetpu" / "pairs").iterdir()):
        source, output = read_tflite(folder / "model.tflite"), folder / "model_edgetpu.tflite"
        on_cpu = Counter(op.kind for op in read_compiled(output).cpu_ops)
        mapped = Counter(op.kind for op in source.ops) - on_cpu
        rows = [[kind, count, MAPPED] for kind, count in mapped.items()]
        rows += [[kind, count, "Operation not supported"] for kind, count in on_cpu.items()]
        behave("success", rows=rows, output=output)
        done = compile_model(folder / "model.tflite", compiler, tmp_path / folder.name, verifier=prove_origin)
        assert done.origins[0].verdict in ("match", "unverified")
        assert done.succeeded and [attempt.step for attempt in done.attempts] == ["plain"], folder.name
        assert done.model.read_bytes() == output.read_bytes()
        told = [finding for finding in done.findings if finding.rule != "origin-unproved"]
        assert [finding.rule for finding in told] == ["operation-not-supported"] * on_cpu.total(), folder.name
        assert None not in [finding.op for finding in told]


# Several files.


def test_segments_are_all_taken_and_come_with_a_warning(run, pair, tmp_path):
    compilation = run("several_segments", options=CompilerOptions(segments=3))
    assert [path.name for path in compilation.models] == [
        f"model_segment_{i}_of_3_edgetpu.tflite" for i in range(3)
    ]
    assert all(path.read_bytes() == (pair / "model_edgetpu.tflite").read_bytes() for path in compilation.models)
    assert compilation.result.mapped == 9
    assert compilation.result.on_chip_used_bytes == 3 * 66 * 1024
    assert "segments-share-a-token" in [finding.rule for finding in compilation.findings]


def test_a_segment_that_is_missing_takes_the_others_with_it(run, tmp_path):
    compilation = run("segment_missing", options=CompilerOptions(segments=2))
    assert errors(compilation) == ["output-missing"]
    assert not (tmp_path / "out").exists()


def test_models_compiled_together_keep_their_own_names(compiler, pair, behave, stand_in, tmp_path):
    behave("several_models")
    paths = []
    for name in ("first", "second"):
        paths.append(tmp_path / f"{name}.tflite")
        paths[-1].write_bytes((pair / "model.tflite").read_bytes())
    compilation = compile_model(paths, compiler, tmp_path / "out")
    assert [path.name for path in compilation.models] == ["first_edgetpu.tflite", "second_edgetpu.tflite"]
    assert arguments_seen(stand_in)[-2:] == ["model_0.tflite", "model_1.tflite"]


def test_models_of_one_name_cannot_be_compiled_together(compiler, pair, tmp_path):
    with pytest.raises(UsageError, match="same name"):
        compile_model([pair / "model.tflite", pair / "model.tflite"], compiler, tmp_path)


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"attempts": 0}])
def test_no_time_or_no_attempt_makes_no_sense(compiler, pair, tmp_path, options):
    with pytest.raises(UsageError):
        compile_model(pair / "model.tflite", compiler, tmp_path, **options)


# Failure.


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        ("zero_mapped", "nothing-mapped"),
        ("no_custom_operator", "no-custom-operator"),
        ("no_table", "no-operator-table"),
        ("wrong_counts", "output-disagrees"),
        ("wrong_size", "output-disagrees"),
        ("stub", "stub-output"),
        ("link", "unknown-compiler-failure"),
        ("claims_failure", "failed-without-reason"),
        ("refused", "operation-version"),
        ("crash", "compiler-crash"),
        ("killed_half_way", "compiler-killed"),
        ("full_disk", "disk-full"),
        ("silent", "unknown-compiler-failure"),
        ("garbage", "unknown-compiler-failure"),
    ],
)
def test_a_failure_leaves_no_file_and_says_why(run, tmp_path, scenario, rule):
    compilation = run(scenario)
    assert not compilation.succeeded
    assert errors(compilation) == [rule]
    assert not (tmp_path / "out").exists()


def test_zero_mapped_also_explains_the_statuses_of_each_layer(run, pair):
    layers = {op.name: op.kind for op in read_tflite(pair / "model.tflite").ops}
    first, *others = run("zero_mapped").findings
    assert first.rule == "nothing-mapped"
    assert {finding.rule for finding in others} == {"unsupported-data-type"}
    assert {finding.op: finding.measured for finding in others} == layers


def test_a_verifier_has_the_last_word(run, pair, tmp_path):
    asked = []

    def verifier(source, compiled):
        asked.append((len(source.ops), [len(model.packages) for _, model in compiled]))
        return Origin("mismatch", 0, 1, (Finding("not-that-model", "error", "It was made from another model."),))

    compilation = run("success", verifier=verifier)
    assert errors(compilation) == ["not-that-model"]
    assert asked == [(3, [1])]
    assert not (tmp_path / "out").exists()


def test_a_result_of_this_model_is_proved_to_be_that(run):
    (origin,) = run("success", verifier=prove_origin).origins
    assert (origin.verdict, origin.layers_exact, origin.layers_total) == ("match", 1, 1)


def test_a_result_of_other_weights_is_not_taken(compiler, behave, pair, tmp_path):
    behave("success")
    graph = read_tflite(pair / "model.tflite")
    (layer,) = [op for op in graph.ops if op.kind == "FULLY_CONNECTED"]
    weights = layer.inputs[1]
    changed = weights.data.copy()
    changed[3, 5] ^= 1
    layer.inputs[1] = Tensor.constant(weights.name, changed, weights.quant)
    (tmp_path / "other.tflite").write_bytes(serialize_for_interpreter(graph)[0])
    done = compile_model(tmp_path / "other.tflite", compiler, tmp_path / "out", verifier=prove_origin)
    assert not done.succeeded and done.origins[0].verdict == "mismatch"
    assert errors(done) == ["layer-mismatch"]
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_an_older_result_alone(run, tmp_path):
    before = run("success").model.read_bytes()
    assert not run("crash").succeeded
    assert (tmp_path / "out" / "model_edgetpu.tflite").read_bytes() == before


def test_a_hang_ends_at_the_time_limit_with_all_its_children(run, stand_in):
    compilation = run("hang", timeout_s=2.0)
    assert errors(compilation) == ["compiler-timeout"]
    assert compilation.seconds < 20
    assert ends(int((stand_in.parent / "state" / "child").read_text()))


def test_output_without_end_is_bounded(run):
    compilation = run("garbage")
    assert len(compilation.stdout) < 5 * 1024 * 1024
    assert "bytes left out" in compilation.stdout


def test_a_log_of_100_mb_costs_bounded_memory_and_its_end_is_read(run):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    compilation = run("huge_log")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert compilation.succeeded
    assert (compilation.result.mapped, compilation.result.subgraphs) == (3, 1)
    assert len(compilation.result.unrecognised) == 1000 and compilation.result.truncated
    assert grown < 60_000, "KiB of resident memory"


def test_nothing_is_left_of_private_folders(run, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    for scenario in ("success", "crash", "stub"):
        run(scenario, attempts=3)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_two_processes_compile_the_same_model_at_once(compiler, pair, behave, tmp_path):
    behave("success")
    script = (
        "import sys; from pathlib import Path\n"
        "from coralsmith.compiler.local import LocalCompiler; from coralsmith.compiler.run import compile_model\n"
        "model, program, out, cache = map(Path, sys.argv[1:])\n"
        "for _ in range(2):\n"
        "    done = compile_model(model, LocalCompiler(program, 'option'), out, cache=cache)\n"
        "    assert done.succeeded, done.findings\n"
    )
    command = [sys.executable, "-c", script, pair / "model.tflite", compiler.path, tmp_path / "o", tmp_path / "c"]
    processes = [subprocess.Popen(list(map(str, command))) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"model_edgetpu.tflite", "model_edgetpu.log"}
    assert (tmp_path / "o" / "model_edgetpu.tflite").read_bytes() == (pair / "model_edgetpu.tflite").read_bytes()
    assert len(list((tmp_path / "c").iterdir())) == 1


# What cannot be compiled at all.


def test_a_missing_program_is_an_environment_error(pair, tmp_path):
    with pytest.raises(CompilerError, match="cannot be started"):
        compile_model(pair / "model.tflite", LocalCompiler(tmp_path / "nowhere", "option"), tmp_path)


def test_a_missing_model_is_an_input_error(compiler, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.tflite"):
        compile_model(tmp_path / "nothing.tflite", compiler, tmp_path)


def test_what_is_no_model_is_an_input_error(compiler, tmp_path):
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(InputError):
        compile_model(tmp_path / "text.tflite", compiler, tmp_path)


def test_a_compiled_model_is_not_compiled_again(compiler, pair, tmp_path):
    with pytest.raises(UnsupportedModelError, match="compiled for the Edge TPU already"):
        compile_model(pair / "model_edgetpu.tflite", compiler, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_output_error(compiler, pair, behave, tmp_path):
    behave("success")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        compile_model(pair / "model.tflite", compiler, tmp_path / "file" / "out")


def ends(pid: int) -> bool:
    """Whether a process is gone, or dead and waiting to be reaped, within a few seconds."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
