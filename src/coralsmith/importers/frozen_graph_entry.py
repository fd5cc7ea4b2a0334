"""Finds the way into a frozen graph's network: what to feed, where the network begins, what happens in between.

Measured with known pictures through the graph's own pre-processing. Runs in the child process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import UnsupportedModelError
from coralsmith.importers.frozen_graph_session import GraphSession, rounded
from coralsmith.importers.frozen_graph_structure import NodeGraph, find_image, find_network_input
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.samples import Picture, model_inputs

_PROBE_SIZES: Final = ((200, 320), (320, 200))
# Plain pictures stay plain however they are resized; no two channels take the same values.
_COLOURS: Final = ((0, 0, 0), (255, 255, 255), (64, 128, 192), (10, 200, 90))


@dataclass(frozen=True)
class Normalisation:
    """``network input = pixel * scale + offset`` for each channel."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def is_identity(self) -> bool:
        """Whether the graph leaves the pixels as they are."""
        return all(s == 1.0 for s in self.scale) and not any(self.offset)

    def to_input_fields(self) -> dict[str, Any]:
        """The fields of a head's `input`."""
        if len(set(self.scale)) == 1 and len(set(self.offset)) == 1:
            return {"scale": self.scale[0], "offset": self.offset[0]}
        return {
            "mean": [rounded(-o / s) for s, o in zip(self.scale, self.offset, strict=True)],
            "std": [rounded(1.0 / s) for s in self.scale],
        }


def fit_normalisation(colours: NDArray[Any], answers: NDArray[Any]) -> Normalisation:
    """Scale and offset of each channel, by least squares.

    Args:
        colours: What plain pictures were filled with, [pictures, channels].
        answers: What the network gets for them, same shape.

    Raises:
        UnsupportedModelError: It is no such function of the pixels: channels swapped, or more than normalised.
    """
    scales, offsets = [], []
    for x, y in zip(colours.T.astype(np.float64), answers.T.astype(np.float64), strict=True):
        scale, offset = np.polyfit(x, y, 1)
        if np.abs(scale * x + offset - y).max() > 1e-5 * np.ptp(y):
            raise UnsupportedModelError(
                "The graph's pre-processing is no plain normalisation of RGB pixels.",
                hint="Export the detector with RGB input and without augmentation.",
            )
        scales.append(rounded(scale, 7))
        offsets.append(round(float(offset), 6) + 0.0)
    return Normalisation(tuple(scales), tuple(offsets))


@dataclass(frozen=True)
class Entry:
    """The way into the network.

    Attributes:
        image: Placeholder that is fed.
        dtype: Its element type.
        fed_size: Height and width that it must be fed with; None where the graph resizes any picture.
        tensor: Tensor that the network begins with.
        shape: Its shape, [1, height, width, channels].
        normalisation: What the graph does to pixels before that.
        pads: Whether the graph keeps the aspect ratio of a picture and pads it.
    """

    image: str
    dtype: np.dtype[Any]
    fed_size: tuple[int, int] | None
    tensor: str
    shape: tuple[int, ...]
    normalisation: Normalisation
    pads: bool

    def feed(self, picture: Picture) -> dict[str, NDArray[Any]]:
        """A picture as the graph wants it."""
        if self.fed_size is None:
            return {self.image: picture[None].astype(self.dtype)}
        shape = (1, *self.fed_size, self.shape[3])
        raw = not self.normalisation.is_identity
        return {self.image: model_inputs([picture], shape, self.dtype, raw_pixels=raw)[0]}


def probe_entry(session: GraphSession, graph: NodeGraph, input_size: tuple[int, int] | None) -> Entry:
    """Find the image and the network's input, and measure what lies between.

    Args:
        session: The graph.
        graph: Its structure.
        input_size: The caller's height and width for a graph that takes any size and does not resize.

    Raises:
        UnsupportedModelError: No image, no convolution, no fixed size, or more than a normalisation.
    """
    image = find_image(graph)
    tensor = find_network_input(graph, image)
    placeholder = session.graph.get_tensor_by_name(f"{image}:0")
    dtype = np.dtype(placeholder.dtype.as_numpy_dtype)
    declared = placeholder.shape.as_list() if placeholder.shape.rank == 4 else [None, None, None, 3]
    fed_size = _fed_size(session, image, tensor, declared, dtype, input_size)
    plain = np.array(_COLOURS, dtype)

    def network_inputs(size: tuple[int, int]) -> list[NDArray[Any]]:
        return [session.run([tensor], {image: np.broadcast_to(colour, (1, *size, 3))})[0] for colour in plain]

    square = network_inputs(fed_size or (256, 256))
    normalisation = fit_normalisation(plain, np.stack([answer[0, 0, 0] for answer in square]))
    wide = network_inputs(fed_size or _PROBE_SIZES[0])
    pads = any(np.ptp(answer, axis=(1, 2)).max() > 1e-3 for answer in wide)
    return Entry(image, dtype, fed_size, tensor, square[0].shape, normalisation, pads)


def _fed_size(
    session: GraphSession,
    image: str,
    tensor: str,
    declared: list[int | None],
    dtype: np.dtype[Any],
    asked: tuple[int, int] | None,
) -> tuple[int, int] | None:
    """The picture size that the graph must be fed with, or None where it brings all to one size by itself."""
    if None in declared[1:3]:
        answers = [session.run([tensor], {image: np.zeros((1, *size, 3), dtype)})[0] for size in _PROBE_SIZES]
        if answers[0].shape == answers[1].shape:
            return None
    _, height, width, _ = static_image_shape([1, *declared[1:]], asked, image)
    return height, width
