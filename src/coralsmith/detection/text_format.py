"""Reads protobuf's text format: pipeline.config and label maps of the TF Object Detection API.

Grammar: https://protobuf.dev/reference/protobuf/textformat-spec/. No schema is known, so a scalar stays the text
that it was written as. The text is not trusted: nesting is bounded, and nothing recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from coralsmith.errors import InputError

MAX_DEPTH: Final = 64

_TOKEN: Final = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[\w.+-]+)
    |(?P<sign>[{}<>:;,\[\]/])""",
    re.VERBOSE,
)
_CLOSING: Final = {"{": "}", "<": ">"}


@dataclass
class Message:
    """One message: for each field its values in order, scalars as text, strings without their quotes."""

    scalars: dict[str, list[str]] = field(default_factory=dict)
    messages: dict[str, list[Message]] = field(default_factory=dict)

    def message(self, name: str) -> Message:
        """The last message of a field, as protobuf takes it; an empty one where there is none."""
        return self.messages.get(name, [Message()])[-1]

    def text(self, name: str, default: str = "") -> str:
        """The last scalar of a field, or the default."""
        return self.scalars.get(name, [default])[-1]

    def number(self, name: str, default: float) -> float:
        """The last number of a field, or the default.

        Raises:
            InputError: It is no number.
        """
        return self.numbers(name)[-1] if name in self.scalars else default

    def numbers(self, name: str) -> list[float]:
        """All numbers of a repeated field.

        Raises:
            InputError: One of them is no number.
        """
        return [_number(name, text) for text in self.scalars.get(name, [])]

    def flag(self, name: str, *, default: bool) -> bool:
        """The last boolean of a field, or the default.

        Raises:
            InputError: It is no boolean.
        """
        text = self.text(name, str(default)).lower()
        if text not in ("true", "t", "1", "false", "f", "0"):
            raise InputError(f"'{name}' is '{text[:40]}', not true or false.")
        return text in ("true", "t", "1")


def parse_text_format(text: str) -> Message:
    """The message that a text holds.

    Raises:
        InputError: It is no text format, is cut off, or nests deeper than `MAX_DEPTH`.
    """
    return _Parser(text).message()


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Parser:
    """One pass over the tokens; the open messages are a stack."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._next = next(self._tokens)

    def message(self) -> Message:
        root = Message()
        stack: list[tuple[Message, str]] = [(root, "")]
        while self._next.kind != "end":
            message, closing = stack[-1]
            token = self._take()
            if token.text in (",", ";") and token.kind == "sign":
                continue
            if token.text == closing and token.kind == "sign":
                stack.pop()
                continue
            name = self._name(token)
            has_colon = self._skip(":")
            opening = self._next.text if self._next.kind == "sign" else ""
            if opening in _CLOSING:
                self._take()
                if len(stack) == MAX_DEPTH:
                    raise self._error(token, f"nests deeper than {MAX_DEPTH} messages")
                inner = Message()
                message.messages.setdefault(name, []).append(inner)
                stack.append((inner, _CLOSING[opening]))
            elif has_colon:
                message.scalars.setdefault(name, []).extend(self._values())
            else:
                raise self._error(self._next, f"has no value for '{name[:40]}'")
        if len(stack) > 1:
            raise self._error(self._next, f"ends inside {len(stack) - 1} open messages")
        return root

    def _name(self, token: _Token) -> str:
        """The name of a field; that of an extension stands in brackets."""
        if token.kind == "word":
            return token.text
        if token.kind != "sign" or token.text != "[":
            raise self._error(token, f"has {token.text[:40]!r} where a field begins")
        parts = []
        while not self._skip("]"):
            parts.append(self._take().text)
            if self._next.kind == "end":
                raise self._error(self._next, "ends inside a name")
        return "".join(parts)

    def _values(self) -> list[str]:
        """One scalar, or a list of them in brackets."""
        if not self._skip("["):
            return [self._scalar()]
        values: list[str] = []
        while not self._skip("]"):
            values.append(self._scalar())
            self._skip(",")
        return values

    def _scalar(self) -> str:
        token = self._take()
        if token.kind == "string":
            parts = [_unquoted(token.text)]
            while self._next.kind == "string":  # neighbouring strings are one
                parts.append(_unquoted(self._take().text))
            return "".join(parts)
        if token.kind != "word":
            raise self._error(
                token, f"has {token.text[:40]!r} where a value is due" if token.text else "is cut off"
            )
        return token.text

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _skip(self, sign: str) -> bool:
        found = self._next.kind == "sign" and self._next.text == sign
        if found:
            self._take()
        return found

    def _scan(self) -> Iterator[_Token]:
        position = 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._error(
                    _Token("", "", position), f"holds {self._text[position]!r}, which begins nothing"
                )
            if match.lastgroup != "skip":
                yield _Token(str(match.lastgroup), match[0], position)
            position = match.end()
        yield _Token("end", "", position)

    def _error(self, token: _Token, what: str) -> InputError:
        line = self._text.count("\n", 0, token.position) + 1
        return InputError(f"line {line} {what}.")


def _number(name: str, text: str) -> float:
    try:
        return float(text.removesuffix("f") if not text.lower().endswith("inf") else text)
    except ValueError:
        raise InputError(f"'{name}' is '{text[:40]}', not a number.") from None


def _unquoted(token: str) -> str:
    """The content of a quoted string; protobuf writes the bytes of other than ASCII letters as octal numbers."""

    def escaped(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 8) & 255]) if match[1].isdigit() else match[1]

    return re.sub(rb"\\([0-7]{1,3}|.)", escaped, token[1:-1].encode()).decode(errors="replace")
