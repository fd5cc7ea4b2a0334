"""What `coralsmith compile` and `coralsmith doctor` show, at 80 columns and with any encoding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coralsmith.compiler.attempts import Attempt
from coralsmith.compiler.log import CompileResult, OperationCount
from coralsmith.compiler.proof import Origin
from coralsmith.compiler.run import Compilation
from coralsmith.findings import Examination, Finding, MachineFact
from coralsmith.report.html import render_html
from coralsmith.report.terminal import print_summary
from coralsmith.report.terminal_compiler import print_compile, print_examination
from tests.report.example_report import CPU_STATUS, MAPPED, compiled_report, example_report
from tests.report.test_terminal import Screen

FAILED = Attempt(
    "plain", 0, ("-s",), False, "large-activations", None, 0, 0, None, None, None, seconds=75.5, remembered=False
)
CUT = Attempt(
    "cut", 0, ("-s", "-i", "a"), True, "", 40, 40, 16, 1, 66 * 1024, 0, seconds=1.25, remembered=True, chosen=True
)


def compilation(model: Path | None, findings: list[Finding]) -> Compilation:
    rows = [OperationCount("CONV_2D", 55, MAPPED), OperationCount("CUSTOM", 1, CPU_STATUS)]
    result = CompileResult(
        "16.0.384591198", rows if model else [], on_chip_used_bytes=5_106_565 if model else None
    )
    return Compilation(model, None, result, findings, ("edgetpu_compiler",), "", "", 1.25)


def test_a_compilation_shows_the_compiler_s_table_and_the_file() -> None:
    screen = Screen()
    print_compile(compilation(Path("out/m_edgetpu.tflite"), []), console=screen.console)
    assert "Compiled: 55 of 56 operators run on the Edge TPU" in screen.words
    assert "edgetpu_compiler 16.0.384591198, 1.2 s" in screen.words
    assert f"CUSTOM 1 CPU {CPU_STATUS} CONV_2D 55 Edge TPU" in screen.words
    assert "Written: out/m_edgetpu.tflite" in screen.words
    assert "Attempts" not in screen.words


def test_a_failed_compilation_shows_why_and_no_file() -> None:
    failure = Finding("compiler-timeout", "error", "The compiler was stopped.", fix="Give it more time.")
    screen = Screen()
    print_compile(compilation(None, [failure]), console=screen.console)
    assert "Not compiled" in screen.words
    assert "compiler-timeout The compiler was stopped. fix Give it more time." in screen.words
    assert "Written" not in screen.words


def test_every_attempt_is_shown_where_there_was_more_than_one() -> None:
    screen = Screen()
    done = replace(compilation(Path("m_edgetpu.tflite"), []), attempts=(FAILED, CUT), compiler="ssh:me@desk")
    print_compile(done, console=screen.console)
    assert "at ssh:me@desk" in screen.words
    assert "# Tried Edge TPU Parts On chip Time Result" in screen.words
    assert "1 as asked 1 min 16 s large-activations" in screen.words
    assert "2 cut after 40 40 of 56 1 66.0 KiB from cache taken" in screen.words


def test_a_remembered_result_says_so() -> None:
    screen = Screen()
    done = replace(
        compilation(Path("m_edgetpu.tflite"), []), attempts=(replace(CUT, step="plain", operators=None),)
    )
    print_compile(done, console=screen.console)
    assert "edgetpu_compiler 16.0.384591198, remembered from an earlier run of 1.2 s" in screen.words


def test_how_far_the_origin_is_proved_is_shown() -> None:
    screen = Screen()
    done = replace(compilation(Path("m_edgetpu.tflite"), []), origins=(Origin("unverified", 29, 31),))
    print_compile(done, console=screen.console)
    assert "Layers found in it to the bit 29 of 31 the others are not proved" in screen.words


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_attempts_fits(width: int) -> None:
    screen = Screen(width=width)
    done = replace(compilation(Path("m_edgetpu.tflite"), []), attempts=(FAILED, CUT) * 12)
    print_compile(done, console=screen.console)
    assert max(map(len, screen.text.splitlines())) <= width
    assert screen.words.count("large-activations") == 12


def test_the_report_of_a_conversion_shows_the_attempts_too() -> None:
    report = compiled_report()
    report = replace(report, compiler=replace(report.compiler, attempts=(FAILED, CUT)))
    screen = Screen()
    print_summary(report, Path("out"), console=screen.console)
    assert "large-activations" in screen.words
    page = render_html(report)
    assert "Every attempt to compile, in order" in page and "cut after 40" in page
    assert "Every attempt to compile" not in render_html(example_report())


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "×"), ("ascii", "x")])
def test_doctor_shows_a_line_for_each_fact_and_the_fix_under_it(encoding: str, sign: str) -> None:
    facts = (
        MachineFact("compiler", "found", "ok", "/usr/bin/edgetpu_compiler"),
        MachineFact("compiler", "version", "ok", "15.0", "Version 16 maps more."),
        MachineFact("compiler", "works", "fail", "it does not", "First this.\nThen that."),
        MachineFact("device", "found", "unknown", "not looked at"),
    )
    screen = Screen(encoding)
    print_examination(Examination(facts), console=screen.console)
    assert "Something is missing or does not work" in screen.words
    assert (
        f"{sign} compiler works: it does not First this. Then that. ? device found: not looked at" in screen.words
    )
    assert "Version 16 maps more" not in screen.words
    screen = Screen(encoding)
    print_examination(Examination(facts[:2]), verbose=True, console=screen.console)
    assert "Everything that was looked at works" in screen.words
    assert "Version 16 maps more" in screen.words
