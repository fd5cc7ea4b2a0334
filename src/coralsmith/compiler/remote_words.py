"""What `remote.sh` says about its run on standard error: lines that begin with the token of the run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from coralsmith.compiler.place import PROGRAM

_TIME_LIMIT: Final = 124  # of timeout(1); 137 where the compiler had to be killed after that
_KILLED: Final = 137
_FIRST_SIGNAL: Final = 129
_SUM: Final = re.compile(r"([0-9a-f]{64}) [ *](\S{1,200})")
_MOST_SUMS: Final = 1000
_MAX_FOREIGN: Final = 600

# Why the script gave up before it ran the compiler: message and hint; {detail} is what it added.
_REFUSALS: Final = {
    "needs": ("{host} has no program '{detail}'.", "It belongs to every Debian; install coreutils and tar there."),
    "missing": (
        "There is no {program} on {host}.",
        "Install it there, or put its path into the variable EDGETPU_COMPILER of {host}.",
    ),
    "nowhere": (
        "No temporary folder can be made on {host}.",
        "'{detail}' over there is full or may not be written; TMPDIR names another place.",
    ),
    "upload": (
        "The model did not arrive whole on {host}.",
        "Over there {detail} KiB are free in the folder for temporary files.",
    ),
}


@dataclass
class Trailer:
    """What the script said.

    Attributes:
        token: The token of the run.
        words: The last line of each kind, without its first word.
        sums: SHA-256 of every file that it sends, by name.
        foreign: What else was on standard error: ssh's own words.
    """

    token: str
    words: dict[str, str] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    foreign: str = ""

    @property
    def archive_mark(self) -> bytes:
        """The line behind which the archive begins on standard output."""
        return f"coralsmith-{self.token} archive\n".encode()

    @property
    def has_begun(self) -> bool:
        """Whether there was a folder for the run."""
        return "begun" in self.words

    @property
    def is_over(self) -> bool:
        """Whether the compiler ran to its end."""
        return "end" in self.words

    @property
    def program(self) -> str:
        """Hash of the compiler's program file."""
        return self.words.get("program", "").partition(" ")[0]

    @property
    def free_kib(self) -> int | None:
        """Room on the disk after the run."""
        free = self.words.get("end", "").partition(" ")[2]
        return int(free) if free.isascii() and free.isdigit() else None

    def refusal(self, host: str) -> tuple[str, str] | None:
        """Message and hint where the script gave up by itself, before it ran the compiler."""
        for word, texts in _REFUSALS.items():
            if word in self.words:
                detail = self.words[word][:200]
                message, hint = (text.format(host=host, detail=detail, program=PROGRAM) for text in texts)
                return message, hint
        return None

    def exit_code(self, limit_s: float, seconds: float) -> int | None:
        """How the compiler ended: negative is a signal, None the time limit."""
        code = self.words.get("end", "").partition(" ")[0]
        number = int(code) if code.isascii() and code.isdigit() else 1
        if number == _TIME_LIMIT or (number == _KILLED and seconds >= limit_s):
            return None
        return number if number < _FIRST_SIGNAL else 128 - number


def read_trailer(token: str, stderr: str) -> Trailer:
    """Tell the script's lines from all others."""
    trailer = Trailer(token)
    start = f"coralsmith-{token} "
    foreign = []
    for line in stderr.splitlines():
        if not line.startswith(start):
            foreign.append(line)
            continue
        word, _, rest = line.removeprefix(start).partition(" ")
        match = _SUM.fullmatch(rest) if word == "sum" else None
        if match is None:
            trailer.words[word] = rest
        elif len(trailer.sums) < _MOST_SUMS:
            trailer.sums[match[2]] = match[1]
    trailer.foreign = " ".join(foreign)[-_MAX_FOREIGN:]
    return trailer
