"""Constants that the compiler inserts for operators without weights: matrices that move values, softmax masks.

Source: what is left of the parameter blobs of published compiled models once every layer of the source was found.
The matrices hold a single 1 in each row, so that their shape can be read off: they pick the values of a map, whose
channels lie padded to a multiple of 4, into a dense vector.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final

from coralsmith.edgetpu.blocks import GROUP_ROWS, LANES, multiple, padded_lanes
from coralsmith.edgetpu.layer_bytes import LayerBytes, matrix_bytes
from coralsmith.graph.model import Op, Tensor

_SLAB: Final = 512  # values of a flattened map that one matrix makes
_MOST_VALUES: Final = 1 << 22  # more would need a gigabyte of matrices
_SHARED_POSITIONS: Final = 16  # positions of a map of one channel that one matrix makes, on every tile the same
_MASK_BYTES: Final = 192  # for 4 classes: three columns of 64 bytes
_SPARE_MASK_BYTES: Final = 64

_FLATTEN: Final = (
    "measured on pairs of compiler 16: 6x6x114 within 0.1 %, 3x3x1 exact; compiler 14 made one matrix of it all, "
    "up to 9 times as much"
)
_SHARED: Final = "measured on pairs: three models with 64x64x1"
_INPUT: Final = "measured on pairs: an input is flattened while it is loaded"
_SOFTMAX: Final = (
    "measured on pairs: 576 bytes for 10 classes in 3 models of compiler 16, 48,256 for 1,001 in newer and none "
    "in older files"
)
_CONCATENATION: Final = "measured on pairs: 192 bytes for two vectors of one element, in 4 models"
_MAPS: Final = "inferred from vectors: none to one matrix"


def inserted_bytes(op: Op, loaded: Container[Tensor]) -> LayerBytes:
    """Bytes of the constants that the compiler adds for an operator.

    Args:
        op: Any operator.
        loaded: `loaded_tensors` of the operators on the Edge TPU.
    """
    if op.kind == "RESHAPE":
        return _flatten(op, loaded)
    if op.kind == "SOFTMAX":
        return _softmax(op)
    if op.kind == "CONCATENATION":
        return _concatenation(op)
    return LayerBytes()


def flattened_remainder(op: Op) -> int | None:
    """Channels of a map that an operator flattens, where they are no multiple of 4; else None.

    Such a flatten is done by matrices, with up to megabytes of parameters (6x6x114 adds 2.13 MB).
    """
    source = op.inputs[0] if op.inputs else None
    if op.kind != "RESHAPE" or source is None or len(source.shape) != 4 or len(op.output.shape) != 2:
        return None
    _, height, width, channels = source.shape
    return channels if height * width > 1 and channels % LANES else None


def loaded_tensors(ops: Sequence[Op]) -> set[Tensor]:
    """What the operators on the Edge TPU get from the host, and what a QUANTIZE at their beginning makes of it."""
    computed = {tensor for op in ops for tensor in op.outputs}
    loaded = {t for op in ops for t in op.inputs if t is not None and not t.is_constant and t not in computed}
    return loaded | {op.output for op in ops if op.kind == "QUANTIZE" and op.inputs[0] in loaded}


def _flatten(op: Op, loaded: Container[Tensor]) -> LayerBytes:
    channels, source = flattened_remainder(op), op.inputs[0]
    if channels is None or source is None:
        return LayerBytes()
    if source in loaded:
        return LayerBytes(evidence=_INPUT)
    if channels == 1 and source.shape[2] % (LANES * _SHARED_POSITIONS) == 0:
        return _matrix(_SHARED_POSITIONS, _SHARED_POSITIONS * LANES, _SHARED)
    if source.elements > _MOST_VALUES:
        return _huge_flatten(source.elements)
    slabs = list(_slabs(source.elements, channels))
    low = sum(matrix_bytes(rows, last + 1 - first) for rows, first, last in slabs)
    high = sum(matrix_bytes(rows, last + 1 - first // LANES * LANES) for rows, first, last in slabs)
    occupied = sum(
        multiple(rows, GROUP_ROWS) * (padded_lanes(last + 1 - first) + LANES) for rows, first, last in slabs
    )
    return LayerBytes(inserted=low, uncertain=high - low, occupied=occupied, evidence=_FLATTEN)


def _huge_flatten(size: int) -> LayerBytes:
    """The matrices of a map that no chip could hold, at least and at most."""
    low, high = matrix_bytes(size, _SLAB), matrix_bytes(size, LANES * (_SLAB + 1))
    return LayerBytes(inserted=low, uncertain=high - low, occupied=low, evidence=_FLATTEN)


def _slabs(size: int, channels: int) -> Iterator[tuple[int, int, int]]:
    """The matrices of a flatten: their rows, and the first and last padded input that they read.

    Each makes 512 values; a last one of fewer than 64 takes as many from the one before as it lacks.
    """
    starts = list(range(0, size, _SLAB))
    if len(starts) > 1:
        starts[-1] = min(starts[-1], size - GROUP_ROWS)
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        yield end - start, _padded_index(start, channels), _padded_index(end - 1, channels)


def _padded_index(value: int, channels: int) -> int:
    """Where a value of the flattened map lies while the channels of each position are padded."""
    return value // channels * padded_lanes(channels) + value % channels


def _softmax(op: Op) -> LayerBytes:
    """Masks for the classes that fill the last 4; whether an older compiler adds them differs between models."""
    classes = op.output.shape[-1] if op.output.shape else 1
    if classes % LANES == 0:
        return LayerBytes()
    size = _MASK_BYTES * (padded_lanes(classes) // LANES) + _SPARE_MASK_BYTES
    return LayerBytes(uncertain=size, evidence=_SOFTMAX)


def _concatenation(op: Op) -> LayerBytes:
    """A matrix that closes the gaps where inputs side by side do not fill their last 4 channels."""
    inputs = [tensor for tensor in op.inputs if tensor is not None and tensor.shape]
    innermost = op.output.shape and _axis(op) == len(op.output.shape) - 1
    if not innermost or all(tensor.shape[-1] % LANES == 0 for tensor in inputs):
        return LayerBytes()
    columns = sum(padded_lanes(tensor.shape[-1]) for tensor in inputs)
    matrix = _matrix(op.output.shape[-1], columns, _CONCATENATION)
    if op.output.elements == op.output.shape[-1]:
        return matrix
    return LayerBytes(uncertain=matrix.inserted, evidence=_MAPS)


def _axis(op: Op) -> int:
    axis = op.attributes.get("axis", 0)
    axis = axis if isinstance(axis, int) else 0
    return axis + len(op.output.shape) if axis < 0 else axis


def _matrix(rows: int, columns: int, evidence: str) -> LayerBytes:
    occupied = multiple(rows, GROUP_ROWS) * (padded_lanes(columns) + LANES)
    return LayerBytes(inserted=matrix_bytes(rows, columns), occupied=occupied, evidence=evidence)
