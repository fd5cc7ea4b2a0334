"""Damages compiled files in their meaning: well-formed packages whose numbers contradict each other.

Byte-wise damage is mostly noticed while reading; these files come further, up to the checks and their words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from coralsmith.compiled.executable import AddressField, Bitstream, DmaHint, Executable, Layer, TileLayout
from coralsmith.compiled.package import Package

INT32 = (-(1 << 31), -129, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 128, 255, 4096, 196_608, 196_609, (1 << 31) - 1)
UINT64 = (0, 1, 0x52EC5511B7F607D7, (1 << 64) - 1)
SCALES = (0.0, -1.0, 1e-45, 0.5, 1.0, 3e38, float("inf"), float("nan"))
NAMES = ("", "in", "out", "\x1b[31mred", "\u202egnp", "a;b;c", "n" * 5000, "\ud7ff")
CHIPS = ("", "beagle", "Beagle", "abrolhos", "\x00")
DATA_TYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32")
REGIONS = ("output", "input", "parameter", "scratch")
HINTS = ("descriptor", "instructions", "interrupt", "fence")
KINDS = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")

Change = Callable[[Any, np.random.Generator], Any]


def mutate_package(package: Package, generator: np.random.Generator) -> Package:
    """The package with one to six changes; the same generator state gives the same package."""
    for _ in range(min(int(generator.geometric(0.4)), 6)):
        if generator.integers(5):
            package = replace(package, executables=_one_changed(package.executables, _executable, generator))
        else:
            package = _package(package, generator)
    return package


def _any(items: Sequence[Any], generator: np.random.Generator) -> Any:
    return items[int(generator.integers(len(items)))]


def _one_changed(items: tuple[Any, ...], change: Change, generator: np.random.Generator) -> tuple[Any, ...]:
    """One item changed, left out, or taken twice."""
    if not items:
        return items
    place = int(generator.integers(len(items)))
    if generator.integers(6) == 0:
        return items[:place] + items[place + 1 :]
    if generator.integers(6) == 0:
        return (*items[:place], *(items[place],) * int(_any((2, 3, 40), generator)), *items[place + 1 :])
    return (*items[:place], change(items[place], generator), *items[place + 1 :])


def _package(one: Package, generator: np.random.Generator) -> Package:
    changes: tuple[dict[str, Any], ...] = (
        {"min_runtime": _any(INT32, generator)},
        {"chips": tuple(_any(INT32, generator) for _ in range(int(generator.integers(70))))},
        {"virtual_chip": _any(INT32, generator)},
        {"compiler": _any(NAMES, generator)},
        {"executables": one.executables[::-1]},
        {"executables": ()},
    )
    return replace(one, **_any(changes, generator))


def _executable(one: Executable, generator: np.random.Generator) -> Executable:
    kind = int(generator.integers(10))
    vectors: tuple[tuple[str, Change], ...] = (
        ("bitstreams", _bitstream),
        ("dma_hints", _hint),
        ("inputs", _layer),
        ("outputs", _layer),
    )
    if kind < len(vectors):
        name, change = vectors[kind]
        return replace(one, **{name: _one_changed(getattr(one, name), change, generator)})
    size = min(int(abs(_any(INT32, generator))), 1 << 12)
    changes: tuple[dict[str, Any], ...] = (
        {"kind": _any(KINDS, generator)},
        {"name": _any(NAMES, generator)},
        {"chip": _any(CHIPS, generator)},
        {"batch_size": _any(INT32, generator)},
        {"parameters": memoryview(bytes(size))},
        {"fully_deterministic": bool(generator.integers(2))},
        {"scratch_bytes": _any(INT32, generator)},
        {"narrow_memory_bytes": _any(INT32, generator)},
        {"estimated_cycles": _any(INT32, generator)},
        {"caching_token": _any(UINT64, generator)},
    )
    return replace(one, **_any(changes, generator))


def _bitstream(one: Bitstream, generator: np.random.Generator) -> Bitstream:
    if generator.integers(2):
        return replace(one, content=one.content[: int(generator.integers(len(one.content) + 1))])
    return replace(one, fields=_one_changed(one.fields, _field, generator))


def _field(one: AddressField, generator: np.random.Generator) -> AddressField:
    bit, region = _any(INT32, generator), _any(REGIONS, generator)
    return replace(one, bit=bit, region=region, layer=_any(NAMES, generator), batch=_any(INT32, generator))


def _hint(one: DmaHint, generator: np.random.Generator) -> DmaHint:
    region = _any(REGIONS, generator)
    changes: tuple[dict[str, Any], ...] = (
        {"kind": _any(HINTS, generator), "number": int(generator.integers(4)), "region": region},
        {"direction": _any(("infeed", "outfeed"), generator)},
        {"region": region},
        {"layer": _any(NAMES, generator)},
        {"offset": _any(INT32, generator)},
        {"size": _any(INT32, generator)},
        {"offset": one.size // 2, "size": one.size - one.size // 2},
    )
    return replace(one, **_any(changes, generator))


def _layer(one: Layer, generator: np.random.Generator) -> Layer:
    shape = list(one.shape)
    shape[int(generator.integers(3))] = _any(INT32, generator)
    vector = tuple(int(_any(INT32, generator)) for _ in range(int(generator.integers(20))))
    changes: tuple[dict[str, Any], ...] = (
        {"name": _any(NAMES, generator)},
        {"size_bytes": _any(INT32, generator)},
        {"shape": tuple(shape)},
        {"zero_point": _any(INT32, generator)},
        {"scale": _any(SCALES, generator)},
        {"data_type": _any(DATA_TYPES, generator)},
        {"executions": _any(INT32, generator)},
        {"layout": TileLayout(vector, vector, vector, vector, vector, vector)},
    )
    return replace(one, **_any(changes, generator))
