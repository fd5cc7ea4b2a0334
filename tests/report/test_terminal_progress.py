from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from coralsmith.report.terminal_progress import LogProgress, TerminalProgress, shown_progress


def terminal(encoding: str = "utf-8") -> tuple[Console, io.BytesIO]:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding, write_through=True)
    return Console(file=stream, force_terminal=True, width=80, color_system=None), content


def visible(content: io.BytesIO) -> list[str]:
    """The lines without the sequences that move the cursor and draw the bar."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", content.getvalue().decode()).replace("\r", "\n").splitlines()


def test_steps_that_are_done_stay_on_the_screen_with_their_time() -> None:
    console, content = terminal()
    with TerminalProgress(console) as progress:
        progress.step("Announced only")
        progress.step("Quantize to int8", 2)
        progress.advance()
        progress.advance()
        progress.note("one image\x1b[2J is broken")
    lines = visible(content)
    done = [line for line in lines if line.startswith("✓")]
    assert [line.split()[1:4] for line in done] == [["Quantize", "to", "int8"]]
    assert any("one image\\x1b[2J is broken" in line for line in lines)


def test_a_step_that_fails_is_marked_and_the_cursor_comes_back() -> None:
    console, content = terminal()
    with pytest.raises(KeyboardInterrupt), TerminalProgress(console) as progress:
        progress.step("Compile", 3)
        progress.advance()
        raise KeyboardInterrupt
    text = content.getvalue().decode()
    assert "× Compile" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_terminal_without_unicode_gets_ascii() -> None:
    console, content = terminal("ascii")
    with TerminalProgress(console) as progress:
        progress.step("Quantize 犬", 1)
        progress.advance()
    assert b"ok Quantize \\u72ac" in content.getvalue()


def test_a_log_gets_one_line_a_step() -> None:
    stream = io.StringIO()
    progress = LogProgress(stream)
    progress.step("Quantize to int8", 59)
    for _ in range(59):
        progress.advance()
    progress.note("taken from the earlier run")
    lines = stream.getvalue().splitlines()
    assert [line.split("] ")[1] for line in lines] == ["Quantize to int8", "  taken from the earlier run"]


def test_a_log_tells_now_and_then_how_far_a_long_step_is() -> None:
    stream = io.StringIO()
    progress = LogProgress(stream, interval_s=0.01)
    progress.step("Quantize to int8", 59)
    time.sleep(0.02)
    progress.advance(3)
    assert stream.getvalue().splitlines()[1].endswith("Quantize to int8: 3 of 59")


def test_where_standard_error_is_no_terminal_progress_is_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress.step("Read the model")
    captured = capsys.readouterr()
    assert captured.err.endswith("s] Read the model\n")
    assert captured.out == ""
