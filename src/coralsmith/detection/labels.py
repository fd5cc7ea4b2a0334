"""Read and write label files: plain lines, numbered lines, or the label maps of the TF Object Detection API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from coralsmith.detection.text_format import parse_text_format
from coralsmith.errors import InputError, UsageError
from coralsmith.graph.writer import write_atomically

MAX_BYTES = 2**20
MAX_CLASS_ID = 65_535
UNNAMED = "unknown"
"""The label of a class id that a numbered file leaves out, as in Frigate."""

_NUMBERED = re.compile(r"(\d{1,9})[:,]?\s+(\S.*)")
_ITEM = re.compile(r"^[^\S\n]*item\s*:?\s*\{", re.MULTILINE)
_HINT = "One label a line, the first for class 0; or 'number label' lines; or a .pbtxt label map."


def read_labels(path: Path) -> list[str]:
    """The labels in a file, by class id.

    Args:
        path: A text file in UTF-8, or UTF-16 with a byte-order mark.

    Returns:
        The label of class 0, 1, ...; see `parse_labels`.

    Raises:
        InputError: The file is missing, too large, not text, or not a list of labels.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"The label file '{path}' cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"'{path}' is larger than {MAX_BYTES} bytes, so it is no label file.", _HINT)
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return parse_labels(content.decode(encoding))
    except UnicodeDecodeError as error:
        raise InputError(f"The label file '{path}' is not text in UTF-8.", "Save it as UTF-8.") from error
    except InputError as error:
        raise InputError(f"The label file '{path}': {error.message}", error.hint) from error


def parse_labels(text: str) -> list[str]:
    """The labels in a text, by class id.

    Three forms are told apart:

    - A text with ``item {`` is a label map of the TF Object Detection API, whose ids count from 1: id 1 becomes
      class 0.
    - Lines that all start with a number are numbered if the numbers can be class ids, all different and either
      from 0, or 1, 2, 3, ... without a gap, which become 0, 1, 2, ...
    - All else is plain, one label a line; numbers in it belong to the labels ("10 euro").

    Blank lines count in no form.

    Returns:
        The label of class 0, 1, ...; `UNNAMED` where a numbered form leaves an id out.

    Raises:
        InputError: There is no label, an id comes twice or is out of bounds, or a label map is damaged.
    """
    if "\0" in text:
        raise InputError("it is binary, not text.", _HINT)
    if _ITEM.search(text):
        return _by_id(_parse_label_map(text))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError("it holds no label.", _HINT)
    numbered = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    if len(numbered) < len(lines):
        return lines
    ids = [int(match[1]) for match in numbered]
    from_one = len(ids) > 1 and sorted(ids) == list(range(1, len(ids) + 1))
    if not from_one and (min(ids) != 0 or len(set(ids)) < len(ids)):
        return lines
    return _by_id({int(match[1]) - from_one: match[2] for match in numbered})


def write_labels(path: Path, labels: Sequence[str]) -> None:
    """Write one label a line, or numbered lines where a label starts with a digit.

    Frigate and pycoral take a plain file whose first label starts with a number for a numbered one.

    Raises:
        UsageError: A label is empty or has several lines.
        OutputError: The file cannot be written.
    """
    for label in labels:
        if label != label.strip() or len(label.splitlines()) != 1 or not {"\0", "\ufeff"}.isdisjoint(label):
            raise UsageError(f"The label {label!r} is not one line of text.")
    plain = "".join(f"{label}\n" for label in labels)
    needs_numbers = any(label[0].isdigit() for label in labels) or _ITEM.search(plain)
    numbered = "".join(f"{number} {label}\n" for number, label in enumerate(labels))
    write_atomically(path, (numbered if needs_numbers else plain).encode())


def _by_id(names: dict[int, str]) -> list[str]:
    if max(names) > MAX_CLASS_ID:
        raise InputError(f"class id {max(names)} is out of bounds; the largest is {MAX_CLASS_ID}.", _HINT)
    return [names.get(number, UNNAMED) for number in range(max(names) + 1)]


def _parse_label_map(text: str) -> dict[int, str]:
    """The items of a StringIntLabelMap (protobuf text format) by class id, the background item left out."""
    names: dict[int, str] = {}
    for item in parse_text_format(text).messages.get("item", []):
        label = item.text("display_name") or item.text("name")
        number = item.text("id")
        if not label or not number.isdecimal() or len(number) > 9:
            raise InputError(f"a label map item lacks an id or a name: {item.scalars}.")
        if int(number) == 0 and label == "background":
            continue
        if int(number) == 0 or int(number) - 1 in names:
            raise InputError(f"id {number} in a label map; ids count from 1 and none comes twice.")
        names[int(number) - 1] = label
    if not names:
        raise InputError("the label map holds no item.")
    return names
