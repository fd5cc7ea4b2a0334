"""Logs and standard output of the real compiler become numbers, and no line of them is lost."""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiler import parse_log
from coralsmith.compiler.log import LogReader, parse_blocks, parse_size, read_log

VERSIONS = {"1.0.249710469", "2.0.291256449", "2.1.302470888", "14.1.317412892", "16.0.384591198"}

DELEGATE_SEARCH = """\
Edge TPU Compiler version 16.0.384591198
Searching for valid delegate with step 15
Try to compile segment with 135 ops
Started a compilation timeout timer of 180 seconds.
Compilation child process completed within timeout period.
Compilation failed!\x20
Try to compile segment with 120 ops
Intermediate tensors: model/add/add,model/conv;bias
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 986 ms.

Input model: model.tflite
Input size: 2.88MiB
Output model: model_edgetpu.tflite
Output size: 3.31MiB
On-chip memory used for caching model parameters: 3.86MiB
On-chip memory remaining for caching model parameters: 3.83MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 135
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. If possible, consider updating your model to use only operations \
supported by the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 119
Number of operations that will run on CPU: 16
See the operation log file for individual operation details.
Compilation child process completed within timeout period.
Compilation succeeded!\x20
"""


def test_every_real_log_is_read_whole(shared):
    paths = sorted((shared / "edgetpu").rglob("*.log")) + sorted((shared / "models").rglob("*.log"))
    assert len(paths) == 25 + 5 + 1
    seen = set()
    for path in paths:
        text = path.read_text()
        (result,) = parse_blocks(text)
        assert result.unrecognised == [] and not result.truncated
        seen.add(result.version)
        rows = re.findall(r"^([A-Z0-9_]+) +(\d+) +(.+)$", text, re.MULTILINE)
        assert [(row.kind, str(row.count), row.status) for row in result.operations] == rows
        assert result.mapped + result.unmapped == sum(int(count) for _, count, _ in rows) > 0
        assert result.output_path.endswith("_edgetpu.tflite") and result.input_path.endswith(".tflite")
    assert seen == VERSIONS


def test_real_standard_output_of_version_16(shared):
    (path,) = (shared / "edgetpu" / "logs").glob("mathieugalle*")
    result = parse_log(path.read_text())
    assert result.succeeded is True
    assert result.compile_ms == 986 and result.timeout_s == 180
    assert result.search_step == 1 and result.attempted_operations == 134
    assert result.input_bytes == round(2.88 * 1024**2) and result.output_bytes == round(3.31 * 1024**2)
    assert result.on_chip_used_bytes == round(3.86 * 1024**2)
    assert result.on_chip_remaining_bytes == round(3.83 * 1024**2)
    assert result.streamed_bytes == 0
    assert result.subgraphs == 1
    assert result.mapped == result.operations_total == 134
    assert result.operations_cpu is None  # a fully mapped model prints no such line


def test_version_2_0_says_how_much_memory_there_is():
    result = parse_log("On-chip memory available for caching model parameters: 7.62MiB\n")
    assert result.on_chip_available_bytes == round(7.62 * 1024**2)


def test_the_last_block_of_a_delegate_search_is_the_result():
    failed, final = parse_blocks(DELEGATE_SEARCH)
    assert (failed.succeeded, failed.attempted_operations) == (False, 135)
    assert (final.succeeded, final.attempted_operations) == (True, 120)
    assert final.version == failed.version == "16.0.384591198"
    assert final.intermediate_tensors == ("model/add/add", "model/conv;bias")
    assert (final.operations_total, final.operations_edgetpu, final.operations_cpu) == (135, 119, 16)
    assert parse_log(DELEGATE_SEARCH) == final


def test_one_block_for_each_segment():
    segment = "Model compiled successfully in {0} ms.\n\nInput model: m.tflite\nTotal number of operations: {0}\n"
    blocks = parse_blocks("Edge TPU Compiler version 15.0.340273435\n" + segment.format(7) + segment.format(9))
    assert [(block.compile_ms, block.operations_total) for block in blocks] == [(7, 7), (9, 9)]
    assert {block.version for block in blocks} == {"15.0.340273435"}


# Formats of which there is no real output to read; written from what is known of them.

VERSION_15 = """\
Edge TPU Compiler version 15.0.340273435

Model compiled successfully in 712 ms.

Input model: ssd_int8.tflite
Input size: 6.57MiB
Output model: ssd_int8_edgetpu.tflite
Output size: 6.70MiB
On-chip memory used for caching model parameters: 6.52MiB
On-chip memory remaining for caching model parameters: 1.20MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 113
Operation log: ssd_int8_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. If possible, consider updating your model to use only operations \
supported by the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 110
Number of operations that will run on CPU: 3
See the operation log file for individual operation details.
"""

SEGMENT = """
Model compiled successfully in {ms} ms.

Input model: model.tflite
Input size: 5.20MiB
Output model: out/model_segment_{index}_of_2_edgetpu.tflite
Output size: {size}
On-chip memory used for caching model parameters: {used}
On-chip memory remaining for caching model parameters: 1.02MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: out/model_segment_{index}_of_2_edgetpu.log
See the operation log file for individual operation details.
"""


def test_version_15_without_the_table():
    result = parse_log(VERSION_15)
    assert (result.version, result.compile_ms, result.timeout_s) == ("15.0.340273435", 712, None)
    assert (result.on_chip_used_bytes, result.streamed_bytes) == (round(6.52 * 1024**2), 0)
    assert result.on_chip_remaining_bytes == round(1.20 * 1024**2)
    assert (result.operations_total, result.operations_edgetpu, result.operations_cpu) == (113, 110, 3)
    assert result.operations == [] and result.unrecognised == []


def test_segments_are_blocks_with_figures_of_their_own():
    text = "Edge TPU Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\n"
    text += SEGMENT.format(index=0, ms=900, size="6.51MiB", used="6.02MiB", total=84)
    text += SEGMENT.format(index=1, ms=40, size="512.00KiB", used="400.00KiB", total=12)
    text += "Compilation child process completed within timeout period.\nCompilation succeeded! \n"
    first, second = parse_blocks(text)
    assert (first.output_path, second.output_path) == (
        "out/model_segment_0_of_2_edgetpu.tflite",
        "out/model_segment_1_of_2_edgetpu.tflite",
    )
    assert (first.operations_total, second.operations_total) == (84, 12)
    assert (first.output_bytes, second.output_bytes) == (round(6.51 * 1024**2), 512 * 1024)
    assert (first.on_chip_used_bytes, second.on_chip_used_bytes) == (round(6.02 * 1024**2), 400 * 1024)
    assert second.succeeded is True and first.unrecognised == second.unrecognised == []


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Invalid model: m.tflite\nModel not quantized", 2),
        ("Internal compiler error. Aborting! ", 1),
        (
            "Compilation failed: Compilation failed due to large activation tensors in model.\n"
            "Compilation failed! ",
            1,
        ),
        ("Segmentation fault (core dumped)", 1),
    ],
)
def test_of_a_failure_every_word_is_kept(text, foreign):
    result = parse_log(f"Edge TPU Compiler version 16.0.384591198\n{text}\n")
    assert len(result.unrecognised) == foreign and result.operations == []
    assert result.succeeded is (False if "Compilation failed!" in text else None)


# Reading piece by piece.


@given(st.lists(st.integers(1, 400), min_size=1))
def test_the_pieces_in_which_the_text_comes_do_not_matter(lengths):
    content, reader, start = (VERSION_15 + DELEGATE_SEARCH).encode(), LogReader(), 0
    for length in lengths:
        reader.feed(content[start : start + length])
        start += length
    reader.feed(content[start:])
    assert reader.blocks() == parse_blocks(VERSION_15 + DELEGATE_SEARCH)


@pytest.mark.parametrize("text", [b"caf\xc3\xa9\n", b"\xff\xfe broken\n", b"no end", b"\r\n\r\n", b""])
def test_bytes_are_read_like_text(text):
    reader = LogReader()
    for byte in text:
        reader.feed(bytes([byte]))
    assert reader.blocks() == parse_blocks(text.decode("utf-8", errors="replace"))


@pytest.mark.slow
def test_a_file_of_100_mb_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "huge.log"
    with path.open("wb") as stream:
        for _ in range(100):
            stream.write((b"WARNING: " + b"x" * 9_990 + b"\n") * 100)
        stream.write(VERSION_15.encode())
    assert path.stat().st_size > 100_000_000
    tracemalloc.start()
    result = read_log(path)[-1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (result.operations_total, result.truncated) == (113, True)
    assert peak < 24_000_000


@pytest.mark.slow
def test_blocks_without_end_cost_bounded_memory():
    reader = LogReader()
    tracemalloc.start()
    for index in range(3000):
        reader.feed(f"Try to compile segment with {index} ops\n".encode() + b"ERROR: " + b"y" * 20_000 + b"\n")
    blocks = reader.blocks()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert blocks[-1].attempted_operations == 2999 and blocks[-1].truncated
    assert len(blocks) <= 1000 and peak < 64_000_000


def test_errors_between_the_lines_are_kept_in_order():
    result = parse_log("Edge TPU Compiler version 16.0.1\nERROR: one\n\nERROR: two\nCompilation failed! \n")
    assert result.unrecognised == ["ERROR: one", "ERROR: two"]
    assert result.succeeded is False


def test_a_row_that_was_cut_off_is_not_guessed():
    result = parse_log("Operator                       Count      Status\n\nCONV_2D                        5")
    assert result.operations == [] and result.unrecognised == ["CONV_2D                        5"]


def test_windows_line_ends():
    result = parse_log("Operator   Count   Status\r\n\r\nADD   3   Mapped to Edge TPU\r\n")
    assert result.mapped == 3


@pytest.mark.parametrize(
    ("text", "size"), [("0.00B", 0), ("66KiB", 67_584), ("2.88MiB", 3_019_899), ("1.50 GiB", 1_610_612_736)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1.2MB", "-1B", "1e9B", "nanB", "9" * 5000 + "B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


PIECES = st.sampled_from(
    [*DELEGATE_SEARCH.splitlines(), "Operator   Count   Status", "ADD   3   Mapped to Edge TPU"]
)


@given(st.text(max_size=400))
def test_any_text_is_accepted(text):
    assert not parse_log(text).truncated


@given(st.lists(PIECES | st.integers().map("foreign line {}".format)))
def test_foreign_lines_are_never_lost(lines):
    kept = [line for block in parse_blocks("\n".join(lines)) for line in block.unrecognised]
    foreign = [line for line in lines if line.startswith("foreign")]
    assert [line for line in kept if line.startswith("foreign")] == foreign


@pytest.mark.slow
def test_a_huge_text_costs_bounded_memory_and_time():
    text = "garbage without end\n" * 20_000 + "x" * 5_000_000 + "\nTotal number of operations: 7"
    started = time.monotonic()
    tracemalloc.start()
    result = parse_log(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.operations_total == 7 and result.truncated
    assert len(result.unrecognised) == 1000
    assert peak < 2_000_000
    assert time.monotonic() - started < 30
