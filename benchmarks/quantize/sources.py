"""What the contenders get: the float models in the forms each of them takes, and folders of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quantize.process import python_module, run
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.graph import Graph

CALIBRATION_IMAGES = 80
INPUT = InputSpec((300, 300), scale=1 / 127.5, offset=-1.0)


@dataclass(frozen=True)
class Sources:
    """Paths.

    Attributes:
        shared: The folder of models and data that lies beside the checkout.
        work: Scratch folder; kept, so that the models are made once.
    """

    shared: Path
    work: Path

    @property
    def coco_train(self) -> Path:
        """59 COCO images for calibration."""
        return self.shared / "data" / "coco_permissive_train" / "images"

    @property
    def coco_val(self) -> Path:
        """25 other COCO images."""
        return self.shared / "data" / "coco_permissive_val" / "images"

    @property
    def bccd(self) -> Path:
        """The blood cell data set (Pascal VOC)."""
        return self.shared / "data" / "bccd"

    @property
    def bccd_model(self) -> Path:
        """The folder of the trained blood cell detector."""
        return self.shared / "models" / "bccd_ssdlite"

    @property
    def mobilenet_v2(self) -> Path:
        """The int8 MobileNetV2 of the compiled pairs."""
        return self.shared / "edgetpu" / "pairs" / "gcedgetpu__mobilenet_v2_1.0_224_quant" / "model.tflite"

    @property
    def bccd_float(self) -> Path:
        """Its float model as `.tflite`."""
        return self.bccd_model / "bccd_ssdlite_float.tflite"

    def bccd_head(self, graph: Graph) -> DetectionHead:
        """The head of a form of the blood cell detector, with the names of that form's outputs."""
        boxes = next(tensor.name for tensor in graph.outputs if tensor.shape[-1] == 4)
        scores = next(tensor.name for tensor in graph.outputs if tensor.shape[-1] != 4)
        return DetectionHead(
            INPUT,
            boxes,
            scores,
            np.load(self.bccd_model / "anchors.npy"),
            tuple((self.bccd_model / "labels.txt").read_text("utf-8").split()),
            score=ScoreSpec("sigmoid"),
            nms=NmsSpec(iou=0.5, score=0.01, max_detections=100),
        )

    def coco_saved_model(self, *, two_input_adds: bool) -> Path:
        """The COCO detector, cut at its raw heads, as a SavedModel for TFLiteConverter.

        Args:
            two_input_adds: With the AddN of two tensors written as AddV2; TFLiteConverter leaves AddN in float.
        """
        folder = self.work / ("coco_saved_model_addv2" if two_input_adds else "coco_saved_model")
        if not folder.is_dir():
            pb = self.shared / "models" / "coco_ssdlite_mobilenet_v2" / "coco_ssdlite_frozen.pb"
            adds = "AddV2" if two_input_adds else "AddN"
            run(python_module("cut_frozen_graph", pb, folder, adds))
        return folder

    def coco_float(self) -> Path:
        """The same cut graph as float `.tflite` for coralsmith: TFLiteConverter without quantization."""
        path = self.work / "coco_float.tflite"
        if not path.is_file():
            run(python_module("tensorflow_converter", self.coco_saved_model(two_input_adds=False), path))
        return path

    def bccd_calibration(self) -> Path:
        """Folder of the first 80 images of the training split."""
        names = (self.bccd / "ImageSets" / "Main" / "train.txt").read_text("utf-8").split()
        return self.links(self.work / "bccd_train", names[:CALIBRATION_IMAGES])

    def bccd_repeated(self, count: int) -> Path:
        """Folder of so many images: those of the blood cell data set, repeated under other names."""
        names = sorted(path.stem for path in (self.bccd / "JPEGImages").glob("*.jpg"))
        return self.links(self.work / f"bccd_{count}", [names[i % len(names)] for i in range(count)])

    def links(self, folder: Path, names: list[str]) -> Path:
        """A folder of links to blood cell images, numbered in the order of the names."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            link = folder / f"{number:05}_{name}.jpg"
            if not link.is_symlink():
                link.symlink_to(self.bccd / "JPEGImages" / f"{name}.jpg")
        return folder
