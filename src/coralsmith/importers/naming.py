"""Names that occur once."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import count


def free_name(name: str, taken: Container[str]) -> str:
    """The name, or the name with the first number behind it that is not taken."""
    if name not in taken:
        return name
    return next(candidate for n in count(1) if (candidate := f"{name}_{n}") not in taken)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind each that came before."""
    unique: dict[str, None] = {}
    for name in names:
        unique[free_name(name, unique)] = None
    return tuple(unique)
