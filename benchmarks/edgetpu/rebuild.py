"""Makes `models.json`: what each model with published numbers asks of the Edge TPU, derived from its graph.

Models come from the folder `shared` beside the checkout, are built again by keras.applications with random
weights, or are variants of one of those: the same operators for another input size or twice as many channels.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.edgetpu.architectures import keras_networks
from coralsmith.compat import check_graph
from coralsmith.edgetpu.features import multiplications
from coralsmith.edgetpu.memory import parameter_memory
from coralsmith.edgetpu.work import Work, work_of
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.shapes import infer_shapes

MODELS = Path(__file__).with_name("models.json")

PAIRS = {
    "mobilenet_v1_0.25_128": "gcedgetpu__mobilenet_v1_0.25_128_quant",
    "mobilenet_v2_224": "gcedgetpu__mobilenet_v2_1.0_224_quant",
    "mobilenet_edgetpu_0.75_224": "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant",
    "posenet_353x481": "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder",
    "deeplab_v3_0.5_513": "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant",
    "conv_2x100_64": "jorgi__N100-nMACs379699200_quant",
    "conv_2x32_64": "jorgi__N32-nMACs41287680_quant",
    "small_classifier": "jorgi__firstTest_quant",
    "small_classifier_32": "jorgi__model_size_channel32_quant",
    "colour_red_64": "libredge__color_red_64x64",
    "dense_256": "libredge__dense_256",
    "dense_1024": "libredge__dense_1024",
    "gabor_64": "libredge__gabor_64x64_p4",
    "looming_64": "libredge__looming_64x64_3x3",
}
_OTHERS = {
    "ssd_mobilenet_v1_300": "models/ssd_mobilenet_v1_coco_quant/model.tflite",
    "ssd_mobilenet_v2_300": "edgetpu/segments/ssd_mobilenet_v2_coco_quant/source_rebuilt.tflite",
}
_RESIZED = {
    "posenet_481x641": ("posenet_353x481", (481, 641)),
    "posenet_721x1281": ("posenet_353x481", (721, 1281)),
    "mobilenet_v2_256_trunk": ("mobilenet_v2_224", (256, 256)),
    "mobilenet_v2_512x256_trunk": ("mobilenet_v2_224", (512, 256)),
    "mobilenet_v2_512_trunk": ("mobilenet_v2_224", (512, 512)),
    "mobilenet_v2_1024x512_trunk": ("mobilenet_v2_224", (1024, 512)),
}
_VGG_DENSE = (4096, 4096, 1000)


def rebuild(shared: Path, only: str | None = None) -> None:
    """Make the models and write what they ask for; models that are not made again keep their entry."""
    entries: dict[str, Any] = json.loads(MODELS.read_text("utf-8")) if MODELS.exists() else {}
    for name, make in sources(shared):
        if only is None or only in name:
            entries[name] = derive(make())
            print(f"{name}: {entries[name]['operators']} operators", flush=True)
    MODELS.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", "utf-8")


def derive(graph: Graph) -> dict[str, Any]:
    """The work of a model, as plain numbers; what may or may not be mapped is taken to be, as it was by Coral."""
    report = check_graph(graph, as_if_quantized=True)
    mapped = [fate.index for fate in report.ops if fate.target != "cpu"]
    memory = parameter_memory(graph, mapped, as_if_quantized=graph.inputs[0].is_float)
    work = work_of(graph, mapped, memory)
    return {
        "operators": report.ops_total,
        "multiplications": sum(multiplications(op) for op in graph.ops),
        "parameter_bytes": memory.low,
        **dataclasses.asdict(work),
    }


@cache
def load_models() -> dict[str, Work]:
    """The committed entries."""
    fields = {field.name for field in dataclasses.fields(Work)}
    return {
        name: Work(**{key: value for key, value in entry.items() if key in fields})
        for name, entry in json.loads(MODELS.read_text("utf-8")).items()
    }


def sources(shared: Path) -> Iterator[tuple[str, Callable[[], Graph]]]:
    """Every model's name and a function that makes its graph."""
    files = {name: f"edgetpu/pairs/{folder}/model.tflite" for name, folder in PAIRS.items()} | _OTHERS
    for name, path in files.items():
        yield name, lambda path=path: read_tflite(shared / path)  # type: ignore[misc]
    for name, (origin, size) in _RESIZED.items():
        yield name, lambda origin=origin, size=size: _resized(read_tflite(shared / files[origin]), size)  # type: ignore[misc]
    yield "deeplab_v3_1.0_513", lambda: _widened(read_tflite(shared / files["deeplab_v3_0.5_513"]))
    for name in _keras_names():
        yield name, lambda name=name: _from_keras(name)  # type: ignore[misc]


def _keras_names() -> list[str]:
    class _Nothing:
        def __getattr__(self, name: str) -> Any:
            return self

    return list(keras_networks(_Nothing()))


def _from_keras(name: str) -> Graph:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = keras_networks(keras)[name]()
    image = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(image)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(function)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(converter.convert())
        graph = read_tflite(path)
        for tensor in graph.tensors():  # the file goes away
            if tensor.data is not None:
                tensor.data = np.array(tensor.data) if tensor.elements < 1 << 16 else _filled(tensor.shape)
    if name.startswith("vgg"):
        _append_dense_layers(graph)
    graph.verify(f"building {name}")
    return graph


def _append_dense_layers(graph: Graph) -> None:
    """The end of VGG: its 120 million weights are one number, repeated, that takes no memory."""
    x = graph.outputs[0]
    flat = Tensor("flat", (1, x.elements), x.dtype)
    shape = Tensor.constant("flat_shape", np.array(flat.shape, np.int32))
    graph.ops.append(Op("RESHAPE", [x, shape], [flat], {"new_shape": flat.shape}))
    for index, width in enumerate(_VGG_DENSE):
        weights = Tensor(
            f"dense_{index}/weights", (width, flat.shape[-1]), x.dtype, _filled((width, flat.shape[-1]))
        )
        bias = Tensor.constant(f"dense_{index}/bias", np.ones(width, np.float32))
        result = Tensor(f"dense_{index}", (1, width), x.dtype)
        graph.ops.append(Op("FULLY_CONNECTED", [flat, weights, bias], [result]))
        flat = result
    graph.outputs = [flat]


def _filled(shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(np.float32(1), shape)


def _resized(graph: Graph, size: tuple[int, int]) -> Graph:
    """The convolutional part of a model, for another size of its input."""
    source = graph.inputs[0]
    source.shape = (1, *size, source.shape[-1])
    trunk = []
    for op in graph.ops:
        if op.kind in ("CUSTOM", "AVERAGE_POOL_2D"):
            break
        shapes = infer_shapes(op)
        assert shapes is not None, op
        op.output.shape = shapes[0]
        trunk.append(op)
    read = {tensor for op in trunk for tensor in op.inputs}
    return Graph(trunk, graph.inputs, [op.output for op in trunk if op.output not in read])


def _widened(graph: Graph) -> Graph:
    """DeepLab with depth multiplier 1 from the one with 0.5: twice the channels up to the pyramid pooling."""
    doubled: set[Tensor] = set()
    in_trunk = True
    for op in graph.ops:
        weights = op.required_input("filter") if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") else None
        if op.kind == "CONV_2D" and op.inputs[0] in doubled and weights is not None:
            _double(weights, 3)
        if op.kind == "AVERAGE_POOL_2D":
            in_trunk = False
            doubled.add(op.output)
            _double(op.output, 3)
        elif in_trunk:
            if weights is not None:
                _double(weights, 0 if op.kind == "CONV_2D" else 3)
                _double(op.required_input("bias"), 0)
            doubled.add(op.output)
            _double(op.output, 3)
    return graph


def _double(tensor: Tensor, axis: int) -> None:
    tensor.shape = tuple(size * (2 if i == axis else 1) for i, size in enumerate(tensor.shape))
    if tensor.data is not None:
        tensor.data = np.broadcast_to(np.ones((), tensor.dtype), tensor.shape)
