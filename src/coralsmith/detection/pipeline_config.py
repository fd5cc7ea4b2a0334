"""Reads pipeline.config, in which the TensorFlow Object Detection API says how a detector was made.

Fields and defaults: ``protos/ssd.proto``, ``image_resizer.proto``, ``faster_rcnn_box_coder.proto`` and
``post_processing.proto`` of tensorflow/models, research/object_detection. The file is not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from coralsmith.detection.anchor_generators import AnchorGenerator, MultiscaleGenerator, SsdGenerator, whole
from coralsmith.detection.head import Activation, BoxCoder, NmsSpec, Resize
from coralsmith.detection.text_format import Message, parse_text_format
from coralsmith.errors import DetectionHeadError, InputError

FILE_NAME: Final = "pipeline.config"
MAX_BYTES: Final = 1 << 20
_LARGEST_SIDE: Final = 4096
_MOST_CLASSES: Final = 65_535
_ACTIVATIONS: Final[dict[str, Activation]] = {"IDENTITY": "none", "SIGMOID": "sigmoid", "SOFTMAX": "softmax"}
_CONVERTERS: Final = ("IDENTITY", "SIGMOID", "SOFTMAX")
_HINT: Final = "Give the pipeline.config that the model was exported with, or rename the file to go without it."


@dataclass(frozen=True)
class PipelineConfig:
    """What a pipeline.config says of an SSD.

    Attributes:
        path: The file.
        image_size: Height and width of the input; None where the resizer keeps the aspect ratio without padding.
        resize: How photos get there.
        extractor: Type of the feature extractor.
        classes: Number of classes without the background.
        background: Whether column 0 of the scores is the background.
        box_coder: How raw boxes refer to the anchors.
        activation: What makes probabilities of raw scores.
        logit_scale: What divides raw scores before that.
        generator: What makes the anchors.
        nms: Limits of non-maximum suppression.
        label_map: File name of the label map, empty where none is named.
    """

    path: Path
    image_size: tuple[int, int] | None
    resize: Resize
    extractor: str
    classes: int
    background: bool
    box_coder: BoxCoder
    activation: Activation
    logit_scale: float
    generator: AnchorGenerator
    nms: NmsSpec
    label_map: str


def find_pipeline_config(source: Path) -> Path | None:
    """The pipeline.config of a model: in its folder, or beside it, as the API's exporter lays it."""
    source = source.absolute()
    folders = (source, source.parent) if source.is_dir() else (source.parent,)
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def read_pipeline_config(path: Path) -> PipelineConfig:
    """Read the description of an SSD.

    Raises:
        InputError: The file cannot be read, is too large, or no text format.
        DetectionHeadError: It describes another kind of detector, or one that no head describes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"'{path}' is larger than {MAX_BYTES} bytes, so it is no pipeline.config.", _HINT)
    try:
        return _read(path, parse_text_format(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not text in UTF-8.", _HINT) from error
    except DetectionHeadError as error:
        raise DetectionHeadError(f"{path.name}: {error.message}", error.hint or _HINT) from error
    except InputError as error:
        raise InputError(f"'{path}': {error.message}", _HINT) from error


def _read(path: Path, root: Message) -> PipelineConfig:
    ssd = _ssd(root)
    size, resize = _image(ssd.message("image_resizer"))
    suppression = ssd.message("post_processing").message("batch_non_max_suppression")
    return PipelineConfig(
        path=path,
        image_size=size,
        resize=resize,
        extractor=ssd.message("feature_extractor").text("type"),
        classes=whole(ssd, "num_classes", 0, 1, _MOST_CLASSES),
        background=ssd.flag("add_background_class", default=True),
        box_coder=_box_coder(ssd.message("box_coder")),
        activation=_activation(ssd.message("post_processing")),
        logit_scale=ssd.message("post_processing").number("logit_scale", 1.0),
        generator=_generator(ssd.message("anchor_generator")),
        nms=NmsSpec(
            suppression.number("iou_threshold", 0.6),
            max(suppression.number("score_threshold", 0.0), 0.0),
            whole(suppression, "max_total_detections", 100, 1, _MOST_CLASSES),
        ),
        label_map=_label_map(root),
    )


def _ssd(root: Message) -> Message:
    model = root.message("model")
    if "ssd" in model.messages:
        return model.message("ssd")
    if model.messages:
        kind = next(iter(model.messages))
        raise DetectionHeadError(
            f"it describes a model of the kind '{kind}', not an SSD.",
            hint="coralsmith converts SSD detectors; retrain with an SSD of the model zoo, for example "
            "ssd_mobilenet_v2_fpnlite_320x320.",
        )
    raise InputError("it has no 'model { ssd { ... } }'.")


def _image(resizer: Message) -> tuple[tuple[int, int] | None, Resize]:
    if "fixed_shape_resizer" in resizer.messages:
        fixed = resizer.message("fixed_shape_resizer")
        return (_side(fixed, "height", 300), _side(fixed, "width", 300)), "stretch"
    if "keep_aspect_ratio_resizer" in resizer.messages:
        keeping = resizer.message("keep_aspect_ratio_resizer")
        side = _side(keeping, "max_dimension", 1024)
        if keeping.flag("pad_to_max_dimension", default=False):
            return (side, side), "letterbox"
        return None, "stretch"
    found = ", ".join(resizer.messages) or "none"
    raise DetectionHeadError(
        f"the image resizer is {found}, not fixed_shape_resizer or keep_aspect_ratio_resizer.",
        hint="Export with image_resizer { fixed_shape_resizer { height: 320 width: 320 } }.",
    )


def _side(message: Message, name: str, default: int) -> int:
    return whole(message, name, default, 1, _LARGEST_SIDE)


def _box_coder(message: Message) -> BoxCoder:
    if "faster_rcnn_box_coder" not in message.messages:
        found = ", ".join(message.messages) or "none"
        raise DetectionHeadError(
            f"the box coder is {found}, not faster_rcnn_box_coder.",
            hint="Only centre and size offsets to anchors can be decoded; retrain with faster_rcnn_box_coder.",
        )
    coder = message.message("faster_rcnn_box_coder")
    return BoxCoder(
        "yxhw",
        (
            coder.number("y_scale", 10.0),
            coder.number("x_scale", 10.0),
            coder.number("height_scale", 5.0),
            coder.number("width_scale", 5.0),
        ),
    )


def _activation(message: Message) -> Activation:
    name = message.text("score_converter", "IDENTITY")
    name = _CONVERTERS[int(name)] if name in ("0", "1", "2") else name
    if name not in _ACTIVATIONS:
        raise DetectionHeadError(
            f"the score converter is {name[:40]}, not {', '.join(_CONVERTERS)}.",
            hint="Describe the head in a head.json (--head).",
        )
    return _ACTIVATIONS[name]


def _generator(message: Message) -> AnchorGenerator:
    if "ssd_anchor_generator" in message.messages:
        return SsdGenerator.read(message.message("ssd_anchor_generator"))
    if "multiscale_anchor_generator" in message.messages:
        return MultiscaleGenerator.read(message.message("multiscale_anchor_generator"))
    found = ", ".join(message.messages) or "none"
    raise DetectionHeadError(
        f"the anchor generator is {found}, not ssd_anchor_generator or multiscale_anchor_generator.",
        hint="Describe the anchors in a head.json (--head).",
    )


def _label_map(root: Message) -> str:
    """The file name of the label map that training or evaluation reads; where it lay then does not matter here."""
    readers = (root.message(name) for name in ("train_input_reader", "eval_input_reader"))
    paths = [reader.text("label_map_path") for reader in readers]
    return next((PurePosixPath(path.replace("\\", "/")).name for path in paths if path), "")
