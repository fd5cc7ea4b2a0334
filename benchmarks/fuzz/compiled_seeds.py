"""Compiled files to be damaged: the real ones, small ones of every form, and such as try to multiply themselves.

The fields of each are found by letting the reader read it: every number it looks at, in the model as in the
packages nested inside it, is a place worth damaging.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.compiled.compiled_files import compiled_bytes, layer, package, program, with_transfers

from benchmarks.fuzz.byte_mutations import Seed
from coralsmith.compiled.executable import Bitstream, Executable, TileLayout
from coralsmith.compiled.package import CUSTOM_OPERATOR, read_package
from coralsmith.errors import MalformedModelError
from coralsmith.graph import flatbuffer
from coralsmith.graph.reader import parse_tflite

LARGEST_SEED = 1_200_000
ALIASES = 65_536  # the most elements that the reader takes in one vector
_WIDTHS = {"B": 1, "H": 2, "h": 2, "I": 4, "i": 4, "f": 4, "Q": 8, "q": 8}
_OPTION_BYTES = 96  # the FlexBuffer map behind the package it holds


def compiled_seeds(shared: Path) -> list[Seed]:
    """Small compiled files of every form, hostile ones, and the real ones up to 1.2 MB."""
    made = {**_ordinary(), **_hostile()}
    seeds = [_seed(name, content) for name, content in made.items()]
    paths = sorted((shared / "edgetpu").rglob("*_edgetpu.tflite"))
    small = (path for path in paths if path.stat().st_size <= LARGEST_SEED)
    return seeds + [_seed(path.relative_to(shared).as_posix(), path.read_bytes()) for path in small]


def _ordinary() -> dict[str, bytes]:
    streamed = program(parameters=bytes(768))
    long = program(bitstreams=tuple(Bitstream(memoryview(bytes(64 * i)), ()) for i in range(1, 9)))
    second = program(inputs=(layer("second", 4, 4, 8),), outputs=(layer("last", 1, 1, 16),))
    old = package(program(estimated_cycles=1000), program("PARAMETER_CACHING", parameters=bytes(64)), chips=())
    return {
        "plain": compiled_bytes(package()),
        "streamed, between CPU operators": compiled_bytes(package(streamed), before=True, after=True),
        "many chunks": compiled_bytes(package(long)),
        "two programs": compiled_bytes(package(), package(with_transfers(second))),
        "stand-alone": compiled_bytes(package(program("STAND_ALONE"))),
        "old": compiled_bytes(replace(old, min_runtime=12)),
    }


def _hostile() -> dict[str, bytes]:
    """Files in which one object is pointed to as often as the reader allows; their models promise a plain one."""
    plain = program()
    bitstream, hint = plain.bitstreams[0], plain.dma_hints[1]
    big = Bitstream(memoryview(bytes(1 << 20)), ())
    layout = TileLayout(*(tuple(range(16_384)) for _ in range(6)))
    wide = replace(plain.outputs[0], layout=layout)
    forms: dict[str, Executable] = {
        "address fields": replace(plain, bitstreams=(replace(bitstream, fields=bitstream.fields[:1] * ALIASES),)),
        "chunks": replace(plain, bitstreams=(big,) * ALIASES),
        "transfers": replace(plain, dma_hints=(hint,) * ALIASES),
        "inputs": replace(plain, inputs=plain.inputs * 8192),
        "long names": replace(plain, inputs=(layer("n" * 60_000, 1, 1, 8),) * 8192),
        "layouts": replace(plain, outputs=(wide,) * 8192),
    }
    packages = {form: package(one) for form, one in forms.items()}
    packages["programs"] = package(*(plain,) * ALIASES)
    return {f"aliased {form}": compiled_bytes(one, promised=[package()]) for form, one in packages.items()}


def _seed(name: str, content: bytes) -> Seed:
    """A file with the fields of the model, of its packages, and of the map that holds each package."""
    fields = set(Seed.of(name, content).fields)
    for op in parse_tflite(content).ops:
        options = op.custom_options
        if op.custom_code != CUSTOM_OPERATOR:
            continue
        start = content.index(options)
        fields.update((start + place, width) for place, width in _package_fields(options))
        fields.update((start + len(options) - 1 - i, 1) for i in range(min(_OPTION_BYTES, len(options))))
    return Seed(name, content, sorted(fields))


def _package_fields(options: bytes) -> set[tuple[int, int]]:
    """Places in the options that the reader looks at, whether it accepts the package or not."""
    places: set[tuple[int, int]] = set()
    with _recording(options, places), suppress(MalformedModelError):
        read_package(options)
    return places


@contextmanager
def _recording(options: bytes, places: set[tuple[int, int]]) -> Iterator[None]:
    """Note every number that is read; the flatbuffers nested in a package are parts of the same memory."""
    unpack = flatbuffer._unpack
    origins: list[int] = []

    def record(layout: str, content: memoryview, position: int) -> Any:
        address = np.frombuffer(content, np.uint8).__array_interface__["data"][0] if content else 0
        if not origins:  # the first flatbuffer read is the package itself
            origins.append(address - options.index(content))
        places.add((address - origins[0] + position, _WIDTHS[layout[1:]]))
        return unpack(layout, content, position)

    flatbuffer._unpack = record
    try:
        yield
    finally:
        flatbuffer._unpack = unpack
