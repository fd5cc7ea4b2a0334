"""What the Edge TPU compiler prints, as numbers: its `.log` files and its standard output, versions 1.0 to 16.

The log file holds the operator table alone. Standard output holds the memory lines and totals too, and with
`--search_delegate` or `--num_segments` a whole block of them for each attempt or segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coralsmith.edgetpu.statuses import MAPPED

# Bounds on hostile or broken output: real logs have lines of a few hundred characters (several thousand where they
# name the tensors of a cut) and tables of some 30 rows.
_MAX_LINE: Final = 65_536
_MAX_ROWS: Final = 4_096
_MAX_UNRECOGNISED: Final = 1_000
_MAX_BLOCKS: Final = 1_000
_MAX_KEPT: Final = 16 * 1024 * 1024  # characters; beyond, only the last block and no foreign lines are kept
_CHUNK: Final = 64 * 1024

_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class OperationCount:
    """One row of the operator table.

    Attributes:
        kind: Operator kind ("CONV_2D"); one kind has a row for each of its statuses.
        count: Number of operators.
        status: The compiler's own words, e.g. "Mapped to Edge TPU".
    """

    kind: str
    count: int
    status: str

    @property
    def is_mapped(self) -> bool:
        """Whether these operators run on the Edge TPU."""
        return self.status == MAPPED


@dataclass
class CompileResult:
    """What one run of the compiler said; None where the text does not say.

    Sizes are in bytes, rounded by the compiler to two decimals of B, KiB or MiB, so sums need not agree exactly.

    Attributes:
        version: Compiler version, e.g. "16.0.384591198".
        operations: The operator table, in the order of the text (which is random from run to run).
        succeeded: The compiler's own claim of success or failure. It also claims success when nothing was mapped.
        input_path: The source model as it was named to the compiler.
        output_path: The compiled model.
        input_bytes: Size of the source model.
        output_bytes: Size of the compiled model.
        on_chip_available_bytes: On-chip memory there is for parameters (version 2.0).
        on_chip_used_bytes: On-chip memory that caches parameters.
        on_chip_remaining_bytes: On-chip memory left for parameters (version 2.1 and later).
        streamed_bytes: Parameters sent to the chip at every inference.
        subgraphs: Number of Edge TPU custom operators in the output.
        operations_total: Number of operators of the source model.
        operations_edgetpu: Operators on the Edge TPU; printed only when some are not.
        operations_cpu: Operators left on the CPU; printed only when there are some.
        compile_ms: Time of the compilation proper.
        timeout_s: The compiler's own time limit (version 16).
        search_step: Step of the delegate search (`--search_delegate`).
        attempted_operations: Operators that this attempt of a delegate search tried to map.
        intermediate_tensors: Where this attempt cut the model.
        operation_log: Path of the log file.
        unrecognised: Lines of no known form, in order: errors, warnings and whatever else was mixed in.
        truncated: Whether the text went beyond the bounds of the parser, so that something is missing here.
    """

    version: str | None = None
    operations: list[OperationCount] = field(default_factory=list)
    succeeded: bool | None = None
    input_path: str | None = None
    output_path: str | None = None
    input_bytes: int | None = None
    output_bytes: int | None = None
    on_chip_available_bytes: int | None = None
    on_chip_used_bytes: int | None = None
    on_chip_remaining_bytes: int | None = None
    streamed_bytes: int | None = None
    subgraphs: int | None = None
    operations_total: int | None = None
    operations_edgetpu: int | None = None
    operations_cpu: int | None = None
    compile_ms: int | None = None
    timeout_s: int | None = None
    search_step: int | None = None
    attempted_operations: int | None = None
    intermediate_tensors: tuple[str, ...] = ()
    operation_log: str | None = None
    unrecognised: list[str] = field(default_factory=list)
    truncated: bool = False

    @property
    def mapped(self) -> int:
        """Number of operators that the table says run on the Edge TPU."""
        return sum(row.count for row in self.operations if row.is_mapped)

    @property
    def unmapped(self) -> int:
        """Number of operators that the table says stay on the CPU."""
        return sum(row.count for row in self.operations if not row.is_mapped)


def parse_log(text: str) -> CompileResult:
    """Read a log file or the standard output of the Edge TPU compiler.

    Of several blocks (delegate search, segments) the last one counts: it is the final result of a search.

    Args:
        text: What the compiler wrote; any text is accepted.

    Returns:
        What was found. `version` and `operations` are empty where the text is no compiler output.
    """
    return parse_blocks(text)[-1]


def parse_blocks(text: str) -> list[CompileResult]:
    """Read every block of the compiler's output: one per attempt of a delegate search, or per segment.

    Args:
        text: What the compiler wrote; any text is accepted.

    Returns:
        At least one result. Beyond a thousand blocks only the first ones and the last are kept.
    """
    parser = _Parser()
    for line in _lines(text):
        parser.feed(line)
    return parser.blocks


def read_log(path: Path) -> list[CompileResult]:
    """Read every block of a file of the compiler's output, whatever its size, in bounded memory.

    Raises:
        OSError: The file cannot be read.
    """
    reader = LogReader()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            reader.feed(chunk)
    return reader.blocks()


class LogReader:
    """Reads the compiler's output piece by piece, while it comes, in bounded memory."""

    def __init__(self) -> None:
        self._parser = _Parser()
        self._line = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes; they may end anywhere."""
        first, *others = chunk.split(b"\n")
        self._extend(first)
        for piece in others:
            self._end_line()
            self._extend(piece)

    def blocks(self) -> list[CompileResult]:
        """What was read, as `parse_blocks` gives it; nothing may be fed afterwards."""
        self._end_line()
        return self._parser.blocks

    def _extend(self, piece: bytes) -> None:
        self._line += piece[: 4 * _MAX_LINE + 4 - len(self._line)]  # a character takes up to 4 bytes

    def _end_line(self) -> None:
        line = self._line.decode("utf-8", errors="replace")
        self._parser.feed(line[: _MAX_LINE + 1].rstrip())
        self._line.clear()


def parse_size(text: str) -> int:
    """Bytes of a size as the compiler prints it ("2.88MiB", "0.00B").

    Raises:
        ValueError: The text is no such size.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?(B|KiB|MiB|GiB)", text.strip())
    if match is None:
        raise ValueError(f"not a size: {text[:40]!r}")
    return round(float(match[1]) * _UNITS[match[2]])


def _lines(text: str) -> Iterator[str]:
    """The lines of a text one at a time, without a copy of the whole."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start : min(end, start + _MAX_LINE + 1)].rstrip()
        start = end + 1


def _milliseconds(text: str) -> int:
    return int(text.removesuffix(" ms."))


def _seconds(text: str) -> int:
    return int(text.removesuffix(" seconds."))


def _operation_total(text: str) -> int:
    return int(text.removesuffix(" ops"))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


_FIELDS: Final[tuple[tuple[str, str, Callable[[str], Any]], ...]] = (
    ("Edge TPU Compiler version ", "version", str),
    ("Input: ", "input_path", str),
    ("Output: ", "output_path", str),
    ("Input model: ", "input_path", str),
    ("Input size: ", "input_bytes", parse_size),
    ("Output model: ", "output_path", str),
    ("Output size: ", "output_bytes", parse_size),
    ("On-chip memory available for caching model parameters: ", "on_chip_available_bytes", parse_size),
    ("On-chip memory used for caching model parameters: ", "on_chip_used_bytes", parse_size),
    ("On-chip memory remaining for caching model parameters: ", "on_chip_remaining_bytes", parse_size),
    ("Off-chip memory used for streaming uncached model parameters: ", "streamed_bytes", parse_size),
    ("Number of Edge TPU subgraphs: ", "subgraphs", int),
    ("Total number of operations: ", "operations_total", int),
    ("Number of operations that will run on Edge TPU: ", "operations_edgetpu", int),
    ("Number of operations that will run on CPU: ", "operations_cpu", int),
    ("Operation log: ", "operation_log", str),
    ("Model compiled successfully in ", "compile_ms", _milliseconds),
    ("Started a compilation timeout timer of ", "timeout_s", _seconds),
    ("Searching for valid delegate with step ", "search_step", int),
    ("Try to compile segment with ", "attempted_operations", _operation_total),
    ("Intermediate tensors: ", "intermediate_tensors", _names),
)

_CONVERSIONS: Final = {prefix: (name, convert) for prefix, name, convert in _FIELDS}
_PREFIX: Final = re.compile("|".join(re.escape(prefix) for prefix in _CONVERSIONS))

# Lines that open a new attempt or segment when the present block already has that value.
_BLOCK_STARTS: Final = frozenset({"attempted_operations", "compile_ms", "input_path"})

# A new block inherits what is said once for the whole run.
_WHOLE_RUN: Final = ("version", "search_step")

_SUCCESS: Final = {"Compilation succeeded!": True, "Compilation failed!": False}

_EMPTY_LINES: Final = (
    "Model successfully compiled but not all operations are supported by the Edge TPU.",
    "See the operation log file for individual operation details.",
    "Compilation child process completed within timeout period.",
)

_TABLE_HEADER: Final = re.compile(r"Operator +Count +Status")
_TABLE_ROW: Final = re.compile(r"([A-Z][A-Z0-9_]{0,99}) +(\d{1,9}) +(\S.{0,999})")


class _Parser:
    """Line by line; every line that is not empty ends in a field, in a row, or among the unrecognised."""

    def __init__(self) -> None:
        self.blocks = [CompileResult()]
        self._in_table = False
        self._kept = 0

    @property
    def _block(self) -> CompileResult:
        return self.blocks[-1]

    def feed(self, line: str) -> None:
        if len(line) > _MAX_LINE:
            self._block.truncated = True
            line = line[:_MAX_LINE]
        if not line or line.startswith(_EMPTY_LINES):
            return
        self._kept += len(line)
        if _TABLE_HEADER.fullmatch(line):
            self._in_table = True
        elif line in _SUCCESS:
            self._block.succeeded = _SUCCESS[line]
        elif not (self._row(line) or self._field(line)):
            self._keep(line)

    def _row(self, line: str) -> bool:
        match = _TABLE_ROW.fullmatch(line) if self._in_table else None
        if match is None:
            return False
        if len(self._block.operations) < _MAX_ROWS:
            self._block.operations.append(OperationCount(match[1], int(match[2]), match[3]))
        else:
            self._block.truncated = True
        return True

    def _field(self, line: str) -> bool:
        found = _PREFIX.match(line)
        if found is None:
            return False
        name, convert = _CONVERSIONS[found[0]]
        try:
            value = convert(line[found.end() :])
        except ValueError:
            return False
        if name in _BLOCK_STARTS:
            self._begin_block(name)
        setattr(self._block, name, value)
        if name == "compile_ms":
            self._block.succeeded = True
        return True

    def _begin_block(self, name: str) -> None:
        if getattr(self._block, name) is None:
            return
        fresh = CompileResult(**{shared: getattr(self._block, shared) for shared in _WHOLE_RUN})
        self._in_table = False
        if len(self.blocks) < _MAX_BLOCKS and self._kept <= _MAX_KEPT:
            self.blocks.append(fresh)
        else:
            fresh.truncated = True
            self.blocks[-1] = fresh

    def _keep(self, line: str) -> None:
        if len(self._block.unrecognised) < _MAX_UNRECOGNISED and self._kept <= _MAX_KEPT:
            self._block.unrecognised.append(line)
        else:
            self._block.truncated = True
