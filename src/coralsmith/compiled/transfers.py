"""Whether the transfers that a program announces move what they must, each byte exactly once.

The runtime follows the list blindly (libedgetpu `driver/dma_info_extractor.cc`), so a wrong one hangs the chip or
feeds it the wrong bytes. In every file of the compiler that was read the list is complete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from coralsmith.compiled.executable import DmaHint, Executable, Layer

Piece = tuple[int, int]
"""First byte and number of bytes of a transfer."""


def transfer_problems(executable: Executable) -> Iterator[str]:
    """What is wrong with the transfers of a program, in words; nothing where each byte moves once.

    Not judged are a list that does not claim to be complete, layers with several transfers an inference
    (recurrent models), batches, and the scratch memory, which may move any number of times.
    """
    if not executable.fully_deterministic:
        return
    chunks = [hint.number for hint in executable.dma_hints if hint.kind == "instructions"]
    if chunks != list(range(len(executable.bitstreams))):
        yield f"instructions: {len(chunks)} transfers for {len(executable.bitstreams)} chunks, or out of order"
    descriptors = [hint for hint in executable.dma_hints if hint.kind == "descriptor"]
    parameters = [_piece(hint) for hint in descriptors if hint.region == "parameter"]
    if problem := _uncovered(parameters, len(executable.parameters)):
        yield f"parameters: {problem}"
    if executable.batch_size == 1:
        yield from _layer_problems(descriptors, executable.inputs, "input")
        yield from _layer_problems(descriptors, executable.outputs, "output")


def _layer_problems(descriptors: Iterable[DmaHint], layers: Iterable[Layer], region: str) -> Iterator[str]:
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for hint in descriptors:
        if hint.region == region:
            pieces[hint.layer].append(_piece(hint))
    for layer in layers:
        found = pieces.pop(layer.name, [])
        problem = _uncovered(found, layer.size_bytes) if layer.executions == 1 else ""
        if problem:
            yield f"{region} '{layer.name}': {problem}"
    if pieces:
        yield f"{len(pieces)} {region}s are moved that the program does not have"


def _piece(hint: DmaHint) -> Piece:
    return hint.offset, hint.size


def _uncovered(pieces: Iterable[Piece], size: int) -> str:
    """What is wrong with pieces that should make up `size` bytes; empty where nothing is."""
    end = 0
    for offset, length in sorted(pieces):
        if offset < 0 or length <= 0 or offset + length > size:
            return f"{length:,} bytes at {offset:,} lie outside of its {size:,} bytes"
        if offset != end:
            how_often = "twice" if offset < end else "never"
            return f"bytes from {min(offset, end):,} to {max(offset, end):,} move {how_often}"
        end = offset + length
    return f"bytes from {end:,} to {size:,} move never" if end != size else ""
