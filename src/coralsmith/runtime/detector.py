"""A model and its head as one thing: an image goes in, detections come out, whatever form the model has."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coralsmith.detection.detections import Detections
from coralsmith.detection.feeding import PixelFeed
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.images import as_rgb, find_images, load_rgb
from coralsmith.detection.preprocess import fit, resize_image
from coralsmith.detection.resampling import sample_bilinear, sample_quickly
from coralsmith.errors import DeviceError, UnsupportedModelError
from coralsmith.graph import Array, Graph
from coralsmith.runtime.edgetpu_delegate import AUTO, CPU, checked_device
from coralsmith.runtime.engine import Engine, open_engine
from coralsmith.runtime.loading import head_of, load_model
from coralsmith.runtime.reading import OutputReader
from coralsmith.runtime.video import Frame, watch

ImageLike = NDArray[np.uint8] | Image.Image | str | Path


class Detector:
    """Detects objects with a float, integer or compiled model, on the CPU or an Edge TPU.

    A detector may be used from several threads; their images take turns. With several Edge TPUs make one detector
    for each: ``Detector(model, device="usb:0")``, ``Detector(model, device="usb:1")``.

    Args:
        model: A `.tflite` file, or a graph; with raw heads or with TFLite_Detection_PostProcess inside.
        head: How to feed the model and to read it: a head or its file. By default the one beside the model, in
            it, or recognised from it; see `coralsmith.find_head`.
        labels: Label file, which replaces the head's labels.
        device: "auto" is an Edge TPU for a compiled model and the CPU for any other. Else "cpu", "usb", "pci", or
            one of several: "usb:0", "pci:1", ":2" of all.
        threads: CPU threads of the interpreter.
        per_class: Suppress overlaps within each class; else as TFLite_Detection_PostProcess does, among the
            best classes of all anchors. Without effect where the model decodes its boxes itself.
        min_score: Lowest score of a detection; by default that of the head.
        class_scores: Lowest scores of single classes, by label; they win over `min_score`.

    Attributes:
        graph: The model.
        head: Its head.
        device: Where it runs: "cpu", or the Edge TPU that was asked for.
        decodes_itself: Whether the model holds the detection operator.

    Raises:
        DetectionHeadError: No head is known, or it does not belong to the model.
        DeviceError: The model is compiled and there is no such Edge TPU, or libedgetpu is missing.
        UnsupportedModelError: The interpreter refuses the model.
        UsageError: The device, a threshold or a label in `class_scores` makes no sense.
    """

    def __init__(
        self,
        model: str | Path | Graph,
        head: DetectionHead | str | Path | None = None,
        *,
        labels: str | Path | None = None,
        device: str = AUTO,
        threads: int = 2,
        per_class: bool = True,
        min_score: float | None = None,
        class_scores: Mapping[str, float] | None = None,
    ) -> None:
        loaded = load_model(model)
        self.graph = loaded.graph
        self.device = _device(checked_device(device), is_compiled=loaded.is_compiled)
        self._reader = OutputReader(self.graph, head_of(loaded, head, labels), per_class, min_score, class_scores)
        self.head = self._reader.head
        self.per_class = per_class
        self.decodes_itself = self._reader.decodes_itself
        self._content = loaded.content
        self._threads = threads
        self._feed = PixelFeed(self.graph.inputs[0], self.head.input)
        self._lock = threading.Lock()
        self._engine: Engine | None = open_engine(self._content, self.device, threads)

    def detect(self, image: ImageLike, *, bgr: bool = False) -> Detections:
        """Detect objects in one image.

        Args:
            image: uint8 RGB [height, width, 3] of any size; grey and RGBA arrays too; a PIL image; or a file.
            bgr: Whether the array is a frame of OpenCV, its channels blue, green, red. OpenCV then resizes it too,
                several times faster, where the program has imported it; a pixel may differ by one level.

        Returns:
            Detections with boxes normalised to the original image, best first.

        Raises:
            ImageDataError: It is no image.
            DeviceError: The Edge TPU was lost. The next call opens it again.
            UnsupportedModelError: The model computes NaN, or the interpreter cannot run it.
        """
        pixels = load_rgb(Path(image)) if isinstance(image, str | Path) else as_rgb(image)
        size, mode = self.head.input.size, self.head.input.resize
        found = self._detect(pixels, bgr=bgr)
        place = fit((pixels.shape[0], pixels.shape[1]), size, mode)
        return replace(found, boxes=place.to_image(found.boxes))

    def detect_resized(self, image: NDArray[np.uint8]) -> Detections:
        """Detect objects in an image that has the model's input size; boxes are normalised to that image."""
        return self._detect(image)

    def detect_all(self, images: Iterable[ImageLike], *, bgr: bool = False) -> list[Detections]:
        """Detect objects in several images, as `detect` does in one."""
        return [self.detect(image, bgr=bgr) for image in images]

    def detect_files(self, sources: str | Path | Iterable[str | Path]) -> Iterator[tuple[Path, Detections]]:
        """Detect objects in a folder of images and all folders in it, or in several files and folders.

        Raises:
            ImageDataError: A source is missing, or a picture cannot be read.
        """
        paths = [sources] if isinstance(sources, str | Path) else list(sources)
        for path in find_images([Path(path) for path in paths]):
            yield path, self.detect(path)

    def watch(self, source: int | str | Path, *, every: bool | None = None) -> Iterator[Frame]:
        """Detect objects in the frames of a camera or a video; needs the extra `video` (OpenCV).

        Of a camera only the newest frame counts: those that arrive while the model works are dropped, so that
        what you see never lags behind. Of a file every frame is looked at.

        Args:
            source: Number of a camera, address of a stream (``rtsp://...``), or a video file.
            every: Look at every frame also of a camera, or only at the newest also of a file.

        Yields:
            Each frame with its detections, until the source ends.

        Raises:
            MissingExtraError: OpenCV is not installed.
            ImageDataError: The camera or file cannot be opened.
        """
        return watch(self.detect, source, every=every)

    def reconnect(self) -> None:
        """Let go of the device and open it again; `detect` does so by itself after a failure.

        Raises:
            DeviceError: It is not there.
        """
        with self._lock:
            self._engine = None  # first: an Edge TPU belongs to one interpreter at a time
            self._engine = open_engine(self._content, self.device, self._threads)

    def close(self) -> None:
        """Let go of the device; the next call of `detect` opens it again."""
        with self._lock:
            self._engine = None

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _detect(self, pixels: NDArray[np.uint8], *, bgr: bool = False) -> Detections:
        with self._lock:
            if self._engine is None:
                self._engine = open_engine(self._content, self.device, self._threads)
            self._fill(self._engine.input_view(), pixels, bgr)
            self._invoke(self._engine)
            outputs = self._engine.outputs()
        return self._reader.read(outputs)

    def _fill(self, target: Array, pixels: NDArray[np.uint8], bgr: bool) -> None:
        """Resize pixels into the input; straight into its memory where that takes them as they are."""
        size, mode = self.head.input.size, self.head.input.resize
        direct = self._feed.takes_pixels
        resized = target[0] if direct else np.empty((*size, 3), np.uint8)
        resize_image(
            pixels,
            size,
            mode,
            out=resized[..., ::-1] if bgr else resized,
            sample=sample_quickly if bgr else sample_bilinear,
        )
        if not direct:
            self._feed.write(resized[None], target)

    def _invoke(self, engine: Engine) -> None:
        try:
            engine.invoke()
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            if self.device == CPU:
                raise UnsupportedModelError(f"The interpreter cannot run the model: {reason}") from error
            self._engine = None
            raise DeviceError(
                f"The Edge TPU stopped while it worked: {reason}",
                hint="Is it still plugged in, and its cable good? The next call opens it again.",
            ) from error


def _device(device: str, *, is_compiled: bool) -> str:
    """Where a model will run."""
    if is_compiled and device == CPU:
        raise UnsupportedModelError(
            "The model is compiled for the Edge TPU and runs on that device only.",
            hint="Use the int8 model it was compiled from: it gives the same detections on the CPU.",
        )
    if not is_compiled and device not in (AUTO, CPU):
        raise UnsupportedModelError(
            f"The model is not compiled, so nothing of it would run on the device '{device}'.",
            hint="Give the file *_edgetpu.tflite; `coralsmith compile` makes it. The device cpu runs this one.",
        )
    return device if is_compiled else CPU
