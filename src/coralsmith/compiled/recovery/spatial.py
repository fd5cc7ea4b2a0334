"""Whether the strides, paddings and pool windows of a topology agree with the memory that the chip uses.

Parameters and constants do not show them. But each map has its place in the memory of the tiles, so a map of
another size would show in the number of bytes that the compiled file records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from coralsmith.compiled.recovery.segment import Segment
from coralsmith.edgetpu.activations import activation_memory
from coralsmith.graph.model import Graph

SpatialVerdict = Literal["confirmed", "near", "contradicted", "open"]

# Measured on pairs that fit: exact for most convolutional models, the others take up to 9 % more; small models of
# vectors take up to 14 KB more.
_GREATEST_EXCESS: Final = 1.15
_GREATEST_EXTRA: Final = 14 * 1024
_MAP_RANK: Final = 4


@dataclass(frozen=True)
class SpatialEvidence:
    """How the memory of the tiles agrees with a topology.

    Attributes:
        predicted: Bytes on the fullest tile that the topology would take.
        recorded: Bytes that the compiled files record; of several segments the most.
        verdict: confirmed (the same number), near (as near as some models come), contradicted, or open (nothing is
            foretold: there are no maps, they do not fit whole, or the segments of a pipeline share them).
    """

    predicted: int
    recorded: int
    verdict: SpatialVerdict


def spatial_evidence(chip: Graph, segments: Sequence[Segment]) -> SpatialEvidence:
    """Compare the memory that a topology would take with what the compiled files record.

    Args:
        chip: What runs on the chip.
        segments: The compiled files.
    """
    memory = activation_memory(chip, range(len(chip.ops)))
    recorded = max(segment.tile_bytes for segment in segments)
    has_maps = any(len(op.output.shape) == _MAP_RANK for op in chip.ops)
    verdict: SpatialVerdict = "contradicted"
    if has_maps and memory.tile_bytes == recorded:
        verdict = "confirmed"
    elif not has_maps or memory.cut or len(segments) > 1:
        verdict = "open"
    elif memory.tile_bytes < recorded <= _GREATEST_EXCESS * memory.tile_bytes + _GREATEST_EXTRA:
        verdict = "near"
    return SpatialEvidence(memory.tile_bytes, recorded, verdict)
