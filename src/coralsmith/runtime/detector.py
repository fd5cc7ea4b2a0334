"""A model and its head as one thing: an image goes in, detections come out, whatever form the model has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.package import is_edgetpu_operator
from coralsmith.detection.decode import decode_detections
from coralsmith.detection.detections import Detections
from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.postprocess_op import find_postprocess_op
from coralsmith.detection.preprocess import fit, resize_image
from coralsmith.errors import DetectionHeadError, UnsupportedModelError
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor, as_real
from coralsmith.graph.reader import read_tflite


class Detector:
    """Detects objects with a float or integer model on the CPU.

    Args:
        model: A `.tflite` file or a graph, with raw heads or with TFLite_Detection_PostProcess inside.
        head: How to feed the model and to read it; needed for its input and labels even where the model
            decodes its boxes itself.
        threads: CPU threads of the interpreter.
        per_class: Suppress overlaps within each class; else as TFLite_Detection_PostProcess does, among the
            best classes of all anchors. Without effect where the model decodes its boxes itself.

    Raises:
        UnsupportedModelError: The model is compiled for the Edge TPU, or the interpreter refuses it.
        DetectionHeadError: The head does not belong to the model.
    """

    def __init__(
        self, model: str | Path | Graph, head: DetectionHead, *, threads: int = 2, per_class: bool = True
    ) -> None:
        self.graph = model if isinstance(model, Graph) else read_tflite(model)
        if any(map(is_edgetpu_operator, self.graph.ops)):
            raise UnsupportedModelError(
                "The model is compiled for the Edge TPU and runs on that device only.",
                hint="Use the int8 model it was compiled from: it gives the same detections on the CPU.",
            )
        self.head = head
        self.per_class = per_class
        self.decodes_itself = find_postprocess_op(self.graph) is not None
        if not self.decodes_itself:
            head.check_against(self.graph)
        self._executor = Executor(self.graph, threads=threads)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Detect objects in one image.

        Args:
            image: uint8 RGB [height, width, 3], any size.

        Returns:
            Detections with boxes normalised to the original image.
        """
        size, mode = self.head.input.size, self.head.input.resize
        found = self.detect_resized(resize_image(image, size, mode))
        place = fit((image.shape[0], image.shape[1]), size, mode)
        return Detections(place.to_image(found.boxes), found.class_ids, found.scores)

    def detect_resized(self, image: NDArray[np.uint8]) -> Detections:
        """Detect objects in an image that has the model's input size; boxes are normalised to that image."""
        self._executor.invoke(model_input(self.graph.inputs[0], image[None], self.head.input))
        if self.decodes_itself:
            return self._read_operator()
        boxes, scores = (self._real_output(name) for name in (self.head.boxes, self.head.scores))
        return decode_detections(boxes[0], scores[0], self.head, per_class=self.per_class)

    def _real_output(self, name: str) -> Array:
        tensor = next(tensor for tensor in self.graph.outputs if tensor.name == name)
        return as_real(tensor, self._executor.value(tensor))

    def _read_operator(self) -> Detections:
        """The four outputs of the operator, cut at its own count: the rows behind are not written."""
        outputs = len(self.graph.outputs)
        if outputs != 4:
            raise DetectionHeadError(f"The detection operator has four outputs, the model {outputs}.")
        boxes, classes, scores, count = (self._executor.value(tensor) for tensor in self.graph.outputs)
        kept = int(count.reshape(-1)[0])
        return Detections(boxes[0, :kept], classes[0, :kept].astype(np.int64), scores[0, :kept])
