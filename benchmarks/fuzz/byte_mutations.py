"""Damages `.tflite` files the way that hurts a reader most: in the fields that the reader looks at."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_FORMATS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_ELEMENTS_OF_A_VECTOR = 64


@dataclass(frozen=True)
class Seed:
    """A valid file and the (offset, width) of each of its fields: vtable slots, offsets, lengths, scalars."""

    name: str
    content: bytes
    fields: list[tuple[int, int]]

    @staticmethod
    def of(name: str, content: bytes) -> Seed:
        """Find the fields of a valid file."""
        return Seed(name, content, _fields(content))


def mutate_bytes(seed: Seed, generator: np.random.Generator) -> bytes:
    """The file with one to six wounds; the same generator state gives the same bytes."""
    content = bytearray(seed.content)
    for _ in range(min(int(generator.geometric(0.5)), 6)):
        kind = generator.choice(len(_WOUNDS), p=_LIKELIHOOD)
        content = _WOUNDS[kind](content, seed, generator)
    return bytes(content)


def _fields(content: bytes) -> list[tuple[int, int]]:
    """Every place from which unpacking the whole file reads a number."""
    places: set[tuple[int, int]] = set()
    with _recording(places):
        schema.ModelT.InitFromPackedBuf(content)
    return sorted(places)


@contextmanager
def _recording(places: set[tuple[int, int]]) -> Iterator[None]:
    """Note every scalar and the first elements of every vector that flatbuffers reads."""
    encode = flatbuffers.encode
    get, get_vector = encode.Get, encode.GetVectorAsNumpy

    def record(packer: Any, buffer: Any, head: int) -> Any:
        places.add((head, packer.size))
        return get(packer, buffer, head)

    def record_vector(kind: Any, buffer: Any, count: int, offset: int) -> Any:
        width = np.dtype(kind).itemsize
        places.update((offset + i * width, width) for i in range(min(count, _ELEMENTS_OF_A_VECTOR)))
        return get_vector(kind, buffer, count, offset)

    encode.Get, encode.GetVectorAsNumpy = record, record_vector
    try:
        yield
    finally:
        encode.Get, encode.GetVectorAsNumpy = get, get_vector


def _place(content: bytearray, seed: Seed, generator: np.random.Generator) -> tuple[int, int]:
    """A field that still lies in the file."""
    offset, width = seed.fields[generator.integers(len(seed.fields))]
    return min(offset, max(len(content) - width, 0)), width


def _store(content: bytearray, offset: int, width: int, value: int) -> bytearray:
    if offset + width <= len(content):
        struct.pack_into(_FORMATS[width], content, offset, value % (1 << 8 * width))
    return content


def _load(content: bytearray, offset: int, width: int) -> int:
    if offset + width > len(content):
        return 0
    return int(struct.unpack_from(_FORMATS[width], content, offset)[0])


def _flip_bit(content: bytearray, _: Seed, generator: np.random.Generator) -> bytearray:
    if content:
        content[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
    return content


def _flip_bit_of_field(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    offset, width = _place(content, seed, generator)
    return _store(content, offset, width, _load(content, offset, width) ^ 1 << int(generator.integers(8 * width)))


def _extreme_field(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    """0, 1, -1, the limits of the type, the file's length, and others that people forget."""
    offset, width = _place(content, seed, generator)
    top = 1 << (8 * width - 1)
    infinity, no_number = 0x7F800000, 0x7FC00000
    values = (0, 1, 2, 3, -1, -2, top, top - 1, len(content), len(content) - offset, 127, 128, infinity, no_number)
    return _store(content, offset, width, values[generator.integers(len(values))])


def _nudge_field(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    offset, width = _place(content, seed, generator)
    step = int(generator.integers(1, 9)) * (-1) ** int(generator.integers(2))
    return _store(content, offset, width, _load(content, offset, width) + step)


def _copy_field(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    """One field's value into another: plausible tensor numbers, shapes and types in the wrong place."""
    source, target = _place(content, seed, generator), _place(content, seed, generator)
    return _store(content, *target, _load(content, *source))


def _redirect(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    """Let an offset point to where another field lies, before it or behind it: shared and cyclic tables."""
    (source, _), (target, _) = _place(content, seed, generator), _place(content, seed, generator)
    return _store(content, source, 4, target - source)


def _truncate(content: bytearray, _: Seed, generator: np.random.Generator) -> bytearray:
    return content[: generator.integers(len(content) + 1)]


def _overwrite_block(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    offset, _ = _place(content, seed, generator)
    size = min(int(generator.integers(1, 65)), len(content) - offset)
    content[offset : offset + size] = generator.bytes(size)
    return content


def _remove_or_insert_block(content: bytearray, seed: Seed, generator: np.random.Generator) -> bytearray:
    offset, _ = _place(content, seed, generator)
    size = 4 * int(generator.integers(1, 9))
    if generator.integers(2):
        del content[offset : offset + size]
    else:
        content[offset:offset] = bytes(size)
    return content


_WOUNDS = (
    _flip_bit,
    _flip_bit_of_field,
    _extreme_field,
    _nudge_field,
    _copy_field,
    _redirect,
    _truncate,
    _overwrite_block,
    _remove_or_insert_block,
)
_LIKELIHOOD = (0.05, 0.2, 0.2, 0.2, 0.2, 0.05, 0.02, 0.05, 0.03)
