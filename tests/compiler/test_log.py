"""Logs and standard output of the real compiler become numbers, and no line of them is lost."""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiler import parse_log
from coralsmith.compiler.log import parse_blocks, parse_size

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
