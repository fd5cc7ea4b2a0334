"""Numbers and states in the words that people read, the same in the terminal and in the HTML."""

from __future__ import annotations

import math
import unicodedata
from typing import Final

_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))

TARGETS: Final = {"edgetpu": "Edge TPU", "cpu": "CPU", "unknown": "Unknown"}

FORMS: Final = {"source": "source", "float": "float", "int8": "int8", "edgetpu": "Edge TPU"}

SEVERITIES: Final = {"error": "Errors", "warning": "Warnings", "info": "Worth knowing"}

# A latency holds for the machine around the Edge TPU too: these are the ones that published latencies are of.
DEVICES: Final = {"usb": "USB 3 on a PC", "pcie": "Dev Board"}

NOT_KNOWN: Final = "not known"


def printable(text: object) -> str:
    """Text from a model or a log without characters that could act on a terminal or mislead the eye.

    Control characters, escape sequences, direction marks and lone surrogates are shown as Python escapes; line
    feeds stay.
    """
    return "".join(
        char if char == "\n" or unicodedata.category(char)[0] != "C" else char.encode("unicode_escape").decode()
        for char in str(text)
    )


def short_name(name: str) -> str:
    """A tensor's name; of the several that TFLite joins with ";" for a fused operator, the first."""
    first = next(filter(None, name.split(";")), name)
    return first if first == name else f"{first};..."


def size(count: float | None) -> str:
    """Bytes in the binary units that the compiler prints: "5.32 MiB"."""
    if count is None:
        return NOT_KNOWN
    for factor, unit in _UNITS:
        if count >= factor:
            value = count / factor
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{count:.0f} B"


def size_band(low: int, high: int) -> str:
    """Bytes that are known, or lie between two numbers."""
    if low == high:
        return size(low)
    return f"about {size(low)}" if size(low) == size(high) else f"{size(low)} to {size(high)}"


def duration(seconds: float) -> str:
    """Seconds as "340 ms", "12.3 s" or "3 min 05 s"."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def milliseconds(value: float) -> str:
    """A latency without its unit: "6.5", "<0.1", "1,046"."""
    return "<0.1" if value < 0.05 else f"{value:.1f}" if value < 999.5 else f"{value:,.0f}"


def latency_band(low: float, high: float) -> str:
    """The ends of a latency's band: "5.8 to 7.3 ms", "up to 2.8 ms"."""
    return f"{milliseconds(low)} to {milliseconds(high)} ms" if low >= 0.05 else f"up to {milliseconds(high)} ms"


def decibels(value: float | None) -> str:
    """A signal-to-noise ratio; an infinite one means that nothing differs."""
    if value is None:
        return NOT_KNOWN
    return "identical" if math.isinf(value) and value > 0 else f"{value:.1f} dB"


def number(value: float | None) -> str:
    """A number with three significant digits."""
    return NOT_KNOWN if value is None else f"{value:.3g}"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent; "100 %" and "0 %" only where that is exact."""
    if whole == 0:
        return "none"
    percent = 100 * part / whole
    bounded = percent if part in (0, whole) else min(max(percent, 0.1), 99.9)
    return f"{bounded:.0f} %" if 1 <= bounded < 99 or part in (0, whole) else f"{bounded:.1f} %"


def count(amount: int, noun: str, plural: str = "") -> str:
    """A number and its noun: "1 image", "25 images"."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {plural or f'{noun}s'}"


def precision(value: float | None) -> str:
    """An average precision, "0.523"; nothing where there is none."""
    return "" if value is None else f"{value:.3f}"


def drop(value: float | None) -> str:
    """What average precision lost, with its sign, "+0.0012"; nothing where there is none."""
    return "" if value is None else f"{round(value, 4) + 0.0:+.4f}"  # + 0.0: there is no "-0.0000"


def interval(ends: tuple[float, float] | None) -> str:
    """The interval of an average precision, "0.502 to 0.551"."""
    return "" if ends is None else f"{precision(ends[0])} to {precision(ends[1])}"


def drop_interval(ends: tuple[float, float] | None) -> str:
    """The interval of a drop, "-0.0006 to +0.0119"."""
    return "" if ends is None else f"{drop(ends[0])} to {drop(ends[1])}"
