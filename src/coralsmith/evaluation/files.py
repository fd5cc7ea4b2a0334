"""Reads the files of data sets, which may be anybody's, within bounds."""

from __future__ import annotations

from pathlib import Path

from coralsmith.errors import ImageDataError


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises:
        ImageDataError: It cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ImageDataError(f"'{path}' cannot be read: {error.strerror}.") from error
    if len(content) > limit:
        raise ImageDataError(f"'{path}' is larger than {limit >> 20} MiB.")
    return content
