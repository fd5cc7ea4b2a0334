"""The detection head: everything a model's two raw outputs need to become detections.

The dataclasses mirror `head.json` (``coralsmith/head/1``) field by field; `head_document` reads and writes
it. Each part checks itself when it is made, so a head that exists is consistent in itself; whether it fits a
model is what `DetectionHead.check_against` tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Tensor

Resize = Literal["stretch", "letterbox"]
BoxOrder = Literal["yxhw", "xywh"]
Activation = Literal["sigmoid", "softmax", "none"]
Channels = tuple[float, float, float]
_FARTHEST_CENTRE = 4.0  # in images; cells of the coarsest map of a pyramid may reach beyond the image, not so far


def wrong_field(name: str, measured: object, rule: str, fix: str) -> DetectionHeadError:
    """The error for one field of a head: its name as in `head.json`, the value found, the rule, the fix."""
    return DetectionHeadError(f"Detection head: {name} is {measured}, but {rule}.", hint=fix)


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes the model's input.

    Either `scale` and `offset`, ``real = pixel * scale + offset``, or `mean` and `std` per channel (RGB),
    ``real = (pixel - mean) / std``; pixels run from 0 to 255.

    Attributes:
        size: Height and width in pixels.
        scale: Factor of a pixel; 1/127.5 for MobileNet's [-1, 1].
        offset: Added after the factor; -1 for MobileNet's [-1, 1].
        mean: Subtracted from the pixels of each channel.
        std: Divides the difference.
        resize: ``stretch`` to the size, or ``letterbox``: keep the aspect ratio and pad.
    """

    size: tuple[int, int]
    scale: float | None = None
    offset: float | None = None
    mean: Channels | None = None
    std: Channels | None = None
    resize: Resize = "stretch"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise wrong_field("input.size", list(self.size), "it must be two positive numbers", "[height, width]")
        given = tuple(f is not None for f in (self.scale, self.offset, self.mean, self.std))
        if given not in ((True, True, False, False), (False, False, True, True)):
            names = [
                name for name, is_given in zip(("scale", "offset", "mean", "std"), given, strict=True) if is_given
            ]
            raise wrong_field(
                "input",
                f"given by {names}",
                "a normalisation is either scale and offset or mean and std",
                'For pixels mapped to [-1, 1]: "scale": 0.00784313725, "offset": -1.0.',
            )
        gain, shift = self._gain_and_shift()
        if not (np.isfinite(gain).all() and np.isfinite(shift).all() and gain.all()):
            raise wrong_field(
                "input",
                f"a gain of {gain.tolist()}",
                "every pixel step must be finite and not zero",
                "Check scale or std.",
            )

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The real numbers that the model sees for an image or a batch.

        Args:
            pixels: uint8 RGB, [height, width, 3] or [batch, height, width, 3].

        Returns:
            float32 of the same shape.

        Raises:
            TypeError: The pixels are not uint8, so they may already be normalised.
        """
        if pixels.dtype != np.uint8:
            raise TypeError(f"pixels must be uint8 from 0 to 255, not {pixels.dtype}")
        gain, shift = self._gain_and_shift()
        real = pixels.astype(np.float32)
        real *= gain.astype(np.float32)
        real += shift.astype(np.float32)
        return real

    def real_range(self) -> tuple[float, float]:
        """The lowest and the highest real number that a pixel can become, over all channels."""
        gain, shift = self._gain_and_shift()
        ends = np.concatenate([shift, 255.0 * gain + shift])
        return float(ends.min()), float(ends.max())

    def _gain_and_shift(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both forms as one, ``real = pixel * gain + shift``, each of shape [3]."""
        if self.mean is not None and self.std is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                gain = 1.0 / np.asarray(self.std, np.float64)
                return gain, -np.asarray(self.mean, np.float64) * gain
        return np.full(3, self.scale, np.float64), np.full(3, self.offset, np.float64)


@dataclass(frozen=True)
class BoxCoder:
    """How four raw numbers move and stretch an anchor (the Faster R-CNN coder, Ren et al. 2015).

    Attributes:
        order: What the columns of the box output are, centre first.
        scales: Divisors of the columns, in the order of the columns; 10, 10, 5, 5 are variances 0.1 and 0.2.
    """

    order: BoxOrder = "yxhw"
    scales: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)

    def __post_init__(self) -> None:
        if self.order not in ("yxhw", "xywh"):
            raise wrong_field(
                "box_coder.order", repr(self.order), "only yxhw and xywh are known", "Name one of both."
            )
        if len(self.scales) != 4 or not (np.isfinite(self.scales).all() and min(self.scales) > 0):
            raise wrong_field(
                "box_coder.scales",
                list(self.scales),
                "it must be four positive numbers",
                "Scales are one over the variances: variances 0.1, 0.2 are scales 10, 10, 5, 5.",
            )


@dataclass(frozen=True)
class ScoreSpec:
    """How raw scores become probabilities.

    Attributes:
        activation: Still to be applied to the score output; ``none`` where the model applies it itself.
        background: Column of the background class, or None where there is none.
    """

    activation: Activation = "sigmoid"
    background: int | None = None

    def __post_init__(self) -> None:
        if self.activation not in ("sigmoid", "softmax", "none"):
            raise wrong_field(
                "scores.activation",
                repr(self.activation),
                "only sigmoid, softmax and none are known",
                "Name one of them.",
            )
        if self.background is not None and self.background < 0:
            raise wrong_field("scores.background", self.background, "a column is 0 or more", "Use null for none.")


@dataclass(frozen=True)
class NmsSpec:
    """Limits of non-maximum suppression.

    Attributes:
        iou: A box that overlaps a better one by more than this intersection over union is dropped; in (0, 1].
        score: Lowest score kept, in [0, 1].
        max_detections: Most detections of an image.
    """

    iou: float = 0.5
    score: float = 0.01
    max_detections: int = 100

    def __post_init__(self) -> None:
        if not 0.0 < self.iou <= 1.0:
            raise wrong_field("nms.iou", self.iou, "it must lie in (0, 1]", "0.5 or 0.6 is usual.")
        if not 0.0 <= self.score <= 1.0:
            raise wrong_field("nms.score", self.score, "it must lie in [0, 1]", "0.01 keeps nearly everything.")
        if self.max_detections < 1:
            raise wrong_field("nms.max_detections", self.max_detections, "it must be 1 or more", "100 is usual.")


@dataclass(frozen=True, eq=False)
class DetectionHead:
    """What turns a model's box and score outputs into detections.

    Attributes:
        input: How an image becomes the model's input.
        boxes: Name of the box output, shape [1, N, 4].
        scores: Name of the score output, shape [1, N, classes], background column included.
        anchors: float32 [N, 4] (y centre, x centre, height, width), normalised to the image, whatever the
            column order of the box coder.
        box_coder: How raw boxes refer to the anchors.
        score: How raw scores become probabilities.
        nms: Limits of non-maximum suppression.
        labels: Names of the classes in the order of the score columns, background left out.
        category_ids: The data set's id of each class (COCO's 1..90), or None.
        evidence: Where each of these facts comes from.
    """

    input: InputSpec
    boxes: str
    scores: str
    anchors: NDArray[np.float32]
    labels: tuple[str, ...]
    box_coder: BoxCoder = field(default_factory=BoxCoder)
    score: ScoreSpec = field(default_factory=ScoreSpec)
    nms: NmsSpec = field(default_factory=NmsSpec)
    category_ids: tuple[int, ...] | None = None
    evidence: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", _checked_anchors(self.anchors))
        if not self.labels:
            raise wrong_field("labels", "empty", "a detector has at least one class", "List the class names.")
        if self.category_ids is not None and len(self.category_ids) != len(self.labels):
            raise wrong_field(
                "category_ids",
                f"a list of {len(self.category_ids)}",
                f"there are {len(self.labels)} labels",
                "Give one id a label, or null.",
            )
        if self.score.background is not None and self.score.background > len(self.labels):
            raise wrong_field(
                "scores.background",
                self.score.background,
                f"{len(self.labels)} labels and a background make columns 0 to {len(self.labels)}",
                "The background is usually column 0.",
            )
        if self.boxes == self.scores:
            raise wrong_field("outputs", f"{self.boxes!r} twice", "boxes and scores are two tensors", "Name both.")

    @property
    def score_columns(self) -> int:
        """Columns of the score output: the classes and, where there is one, the background."""
        return len(self.labels) + (self.score.background is not None)

    def to_json(self) -> dict[str, Any]:
        """The `head.json` document; anchors keep every bit of their float32 values."""
        from coralsmith.detection.head_document import to_document

        return to_document(self)

    @staticmethod
    def from_json(document: object) -> DetectionHead:
        """The head that a `head.json` document describes.

        Raises:
            DetectionHeadError: A field is missing, unknown or wrong; the message names it.
        """
        from coralsmith.detection.head_document import from_document

        return from_document(document)

    @staticmethod
    def load(path: Path) -> DetectionHead:
        """Read a `head.json` file.

        Raises:
            DetectionHeadError: The file is missing, too large, not JSON, or not a valid head.
        """
        from coralsmith.detection.head_document import read_head

        return read_head(path)

    def save(self, path: Path) -> None:
        """Write a `head.json` file, atomically.

        Raises:
            OutputError: The file cannot be written.
        """
        from coralsmith.detection.head_document import write_head

        write_head(self, path)

    def check_against(self, graph: Graph) -> None:
        """Check that this head belongs to a graph: input size, outputs by name, anchors and labels by count.

        Raises:
            DetectionHeadError: Something differs; the message names the field and both values.
        """
        if len(graph.inputs) != 1 or graph.inputs[0].shape != (1, *self.input.size, 3):
            shapes = [list(tensor.shape) for tensor in graph.inputs]
            raise wrong_field(
                "input.size",
                list(self.input.size),
                f"the model's inputs have the shapes {shapes}",
                "A detector has one input, [1, height, width, 3].",
            )
        boxes, scores = self._output(graph, "boxes", self.boxes), self._output(graph, "scores", self.scores)
        if boxes.shape[-1:] != (4,) and scores.shape[-1:] == (4,):
            raise wrong_field(
                "outputs",
                f"boxes {list(boxes.shape)} and scores {list(scores.shape)}",
                "boxes have four columns, so the two are swapped",
                "Swap outputs.boxes and outputs.scores.",
            )
        self._check_shape(boxes, "outputs.boxes", 4)
        self._check_shape(scores, "labels", self.score_columns)

    def _output(self, graph: Graph, role: str, name: str) -> Tensor:
        for tensor in graph.outputs:
            if tensor.name == name:
                return tensor
        present = ", ".join(f"{tensor.name!r} {list(tensor.shape)}" for tensor in graph.outputs)
        raise wrong_field(f"outputs.{role}", repr(name), f"the model's outputs are {present}", "Name one of them.")

    def _check_shape(self, output: Tensor, columns_field: str, columns: int) -> None:
        count = len(self.anchors)
        found = f"output {output.name!r} has the shape {list(output.shape)}"
        if output.shape[:2] != (1, count):
            raise wrong_field("anchors", f"a list of {count}", found, "Give each row of the outputs its anchor.")
        if output.shape != (1, count, columns):
            raise wrong_field(
                columns_field,
                f"for {columns} columns",
                found,
                "Give one label a class without the background, whose column scores.background tells.",
            )


def _checked_anchors(anchors: NDArray[Any]) -> NDArray[np.float32]:
    """A read-only float32 copy of the anchors, or the error that tells what is wrong with them."""
    copy = np.array(anchors, np.float32)
    if copy.ndim != 2 or copy.shape[1] != 4 or not len(copy):
        raise wrong_field("anchors", f"of shape {list(copy.shape)}", "it must be [N, 4]", "(yc, xc, h, w) a row.")
    finite = np.isfinite(copy).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise wrong_field(
            f"anchors[{row}]", copy[row].tolist(), "anchors are finite numbers", "Export them again."
        )
    farthest = float(np.abs(copy[:, :2]).max())
    if farthest > _FARTHEST_CENTRE:
        raise wrong_field(
            "anchors",
            f"centred up to {farthest:.4g} from the image's edge",
            "they are normalised to the image, not in pixels",
            "Divide them by [height, width, height, width] of the input.",
        )
    positive = (copy[:, 2:] > 0).all(axis=1)
    if not positive.all():
        row = int(np.argmin(positive))
        raise wrong_field(
            f"anchors[{row}]",
            copy[row].tolist(),
            "heights and widths must be positive",
            "Columns are (y centre, x centre, height, width), not corners.",
        )
    copy.flags.writeable = False
    return copy
