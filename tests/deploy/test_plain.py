"""The plain bundle: one module that needs numpy only detects what coralsmith detects, whatever the model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import coralsmith
from coralsmith.deploy import plain
from coralsmith.deploy.bundling import program
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec
from coralsmith.detection.images import load_rgb
from coralsmith.detection.preprocess import resize_image
from coralsmith.graph import Graph
from coralsmith.runtime.detector import Detector
from tests.deploy.pixel_detector import decoding_graph, deployable, noise, pixel_graph, pixel_head

NO_CORALSMITH = (
    "import runpy, sys; sys.modules['coralsmith'] = None; sys.path.insert(0, '.');"
    "sys.argv = ['detect.py', *sys.argv[1:]]; runpy.run_path('detect.py', run_name='__main__')"
)
ALLOWED = {"numpy", "importlib", "json", "platform", "pathlib", "typing", "__future__"}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module as it lies in a bundle."""
    path = tmp_path_factory.mktemp("device") / "coral_detector.py"
    path.write_text(program(plain.NAME), "utf-8")
    specification = importlib.util.spec_from_file_location("coral_detector", path)
    assert specification is not None and specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    yield loaded


def opened(module: ModuleType, graph: Graph, head: DetectionHead, folder: Path) -> Any:
    model = deployable(graph, head)
    (folder / "model.tflite").write_bytes(model.bundled())
    model.head.save(folder / "head.json")
    return module.CoralDetector(folder / "model.tflite", folder / "head.json")


HEADS = {
    "probabilities": pixel_head(),
    "sigmoid": pixel_head("sigmoid"),
    "softmax": pixel_head("softmax"),
    "x y w h": replace(pixel_head(), box_coder=BoxCoder("xywh", (5.0, 10.0, 10.0, 5.0))),
    "no background": pixel_head(labels=("a", "b", "c", "d")),
    "no limit": replace(pixel_head(), nms=replace(pixel_head().nms, score=0.0)),
    "nothing": replace(pixel_head("sigmoid"), nms=replace(pixel_head().nms, score=0.999)),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_raw_heads_are_decoded_as_coralsmith_decodes_them(
    module: ModuleType, tmp_path: Path, head: DetectionHead, dtype: type
) -> None:
    detector, reference = opened(module, pixel_graph(dtype), head, tmp_path), Detector(pixel_graph(dtype), head)
    for seed in range(3):
        boxes, classes, scores = detector.detect_resized(noise(seed))
        own = reference.detect_resized(noise(seed))
        np.testing.assert_array_equal(classes, own.class_ids)
        np.testing.assert_array_equal(scores, own.scores)
        np.testing.assert_allclose(boxes, own.boxes, atol=1e-6)


def test_outputs_of_a_model_that_decodes_itself_end_at_its_count(module: ModuleType, tmp_path: Path) -> None:
    detector = opened(module, decoding_graph(), pixel_head(), tmp_path)
    assert len(detector.detect_resized(noise(0))[0]) > 0
    assert len(detector.detect_resized(np.zeros_like(noise(0)))[0]) == 0, "rows of the earlier image"


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_boxes_are_those_of_the_photo_whatever_its_shape(module: ModuleType, tmp_path: Path, resize: Any) -> None:
    head = pixel_head(resize=resize)
    photo = np.random.default_rng(1).integers(0, 256, (20, 33, 3)).astype(np.uint8)
    found = opened(module, pixel_graph(), head, tmp_path).detect(photo)
    own = Detector(pixel_graph(), head).detect(photo).clipped()
    assert [detection.label for detection in found] == [head.labels[number] for number in own.class_ids]
    np.testing.assert_allclose([detection.box for detection in found], own.boxes, atol=1e-5)


def test_a_normalisation_by_channel_is_quantized_as_coralsmith_does(module: ModuleType, tmp_path: Path) -> None:
    spec = InputSpec((8, 8), mean=(120.0, 130.0, 125.0), std=(130.0, 120.0, 127.5))
    head = replace(pixel_head(), input=spec)
    found = opened(module, pixel_graph(), head, tmp_path).detect_resized(noise(4))
    np.testing.assert_array_equal(found[2], Detector(pixel_graph(), head).detect_resized(noise(4)).scores)


@pytest.mark.parametrize("size", [(60, 80), (25, 31), (200, 100), (12, 12)])
def test_photos_are_resized_as_coralsmith_does(module: ModuleType, size: tuple[int, int]) -> None:
    photo = np.random.default_rng(2).integers(0, 256, (*size, 3)).astype(np.uint8)
    difference = np.abs(module.resize_bilinear(photo, 12, 16).astype(int) - resize_image(photo, (12, 16)))
    assert difference.max() <= 1


def test_it_imports_nothing_but_numpy_and_the_standard_library() -> None:
    lines = program(plain.NAME).splitlines()
    roots = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert roots <= ALLOWED


def test_a_head_of_another_model_is_an_error(module: ModuleType, tmp_path: Path) -> None:
    model = deployable(pixel_graph())
    (tmp_path / "model.tflite").write_bytes(model.content)
    document = model.head.to_json()
    document["anchors"] = document["anchors"][:-1]
    (tmp_path / "head.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"head\.json is for outputs"):
        module.CoralDetector(tmp_path / "model.tflite", tmp_path / "head.json")


def test_a_compiled_model_without_its_device_says_what_is_missing(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_delegate(library: str, options: dict[str, str]) -> None:
        raise ValueError(f"no device for {library} {options}")

    stand_in = ModuleType("stand_in_interpreter")
    stand_in.load_delegate = load_delegate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stand_in_interpreter", stand_in)
    monkeypatch.setattr(module, "INTERPRETERS", ("stand_in_interpreter",))
    (tmp_path / "model.tflite").write_bytes(b"edgetpu-custom-op")
    with pytest.raises(RuntimeError, match="found no Edge TPU") as refusal:
        module.CoralDetector(tmp_path / "model.tflite", write_head(tmp_path), device="usb:1")
    assert "{'device': 'usb:1'}" in str(refusal.value.__cause__)


def test_no_interpreter_at_all_says_what_to_install(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERPRETERS", ("no_such_interpreter",))
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        module.CoralDetector(tmp_path / "model.tflite", write_head(tmp_path))


def write_head(folder: Path) -> Path:
    pixel_head().save(folder / "head.json")
    return folder / "head.json"


@pytest.mark.slow
def test_the_sample_program_runs_without_coralsmith_and_finds_the_same(tmp_path: Path) -> None:
    model = deployable(pixel_graph())
    for name, content in plain.make(model).files.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(noise(5)).save(tmp_path / "photo.png")
    ran = subprocess.run(
        [sys.executable, "-I", "-c", NO_CORALSMITH, "photo.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    own = model.reference()(noise(5)).at_least(0.4)
    lines = ran.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [model.head.labels[number] for number in own.class_ids]
    assert [float(line.split()[1]) for line in lines] == [round(float(score), 2) for score in own.scores]


@pytest.mark.slow
def test_on_real_photos_it_finds_what_the_detector_finds(module: ModuleType, tmp_path: Path) -> None:
    assets = Path(coralsmith.__file__).parent / "demo_assets"
    model, head_file = tmp_path / "int8.tflite", assets / "reef_ssdlite_head.json"
    coralsmith.quantize(assets / "reef_ssdlite.tflite", assets / "images", model, head=head_file, samples=8)
    reference = Detector(model, DetectionHead.load(head_file))
    detector = module.CoralDetector(model, head_file)
    compared = 0
    for photo in sorted(assets.glob("images/*.jpg"))[:6]:
        own, found = (
            reference.detect(load_rgb(photo)).at_least(0.3).clipped(),
            detector.detect(load_rgb(photo), 0.3),
        )
        assert [detection.class_id for detection in found] == own.class_ids.tolist()
        np.testing.assert_allclose([detection.score for detection in found], own.scores, atol=0.01)
        np.testing.assert_allclose([detection.box for detection in found], own.boxes, atol=0.01)
        compared += len(found)
    assert compared > 20
