"""One tiny detector in two forms, made once for the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.graph.writer import write_tflite
from coralsmith.quantization.quantizer import PixelScale, QuantizationOptions, quantize_graph
from coralsmith.repair.driver import repair
from tests.tiny_detector import SIDE, tiny_detector, tiny_head


@dataclass(frozen=True)
class TinyForms:
    """The quantized detector with the operator inside and with raw heads; each has its head beside it."""

    with_operator: Path
    raw: Path

    @property
    def head(self) -> DetectionHead:
        return DetectionHead.load(self.raw.parent / "head.json")


@pytest.fixture(scope="session")
def forms(tmp_path_factory: pytest.TempPathFactory) -> TinyForms:
    folder = tmp_path_factory.mktemp("tiny")
    made = TinyForms(folder / "tiny_op_int8.tflite", folder / "tiny_int8.tflite")
    graph, head = append_score_activation(tiny_detector(), tiny_head())
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, SIDE, SIDE, 3)).astype(np.uint8)
    images = list(head.input.normalise(pixels))
    repaired = repair(graph, "exact", inputs=[[images[0]]]).graph
    raw = quantize_graph(repaired, images, QuantizationOptions(pixels=PixelScale(1 / 127.5, -1.0))).graph
    write_tflite(raw, made.raw)
    write_tflite(attach_postprocess_op(raw, head), made.with_operator)
    head.save(folder / "head.json")
    return made
