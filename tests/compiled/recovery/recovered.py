"""What the tests of recovered models share: pairs, edited compiled files, inputs, outputs compared bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from coralsmith.compiled.package import read_compiled
from coralsmith.compiled.recovery.segment import Segment, read_segments
from coralsmith.graph.executor import Executor
from coralsmith.graph.model import Array, Graph, Op
from coralsmith.graph.reader import read_tflite

V1 = "gcedgetpu__mobilenet_v1_0.25_128_quant"
V2 = "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant"
V2_BIRD = "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant"
COLOUR = "libredge__color_red_64x64"
DENSE = "libredge__dense_256"
BUNDLE = 16


def source_of(shared: Path, pair: str) -> Path:
    return shared / "edgetpu" / "pairs" / pair / "model.tflite"


def compiled_of(shared: Path, pair: str) -> Path:
    return shared / "edgetpu" / "pairs" / pair / "model_edgetpu.tflite"


def ssd_segments(shared: Path) -> list[Path]:
    return sorted((shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant").glob("*_edgetpu.tflite"))


def ssd_source(shared: Path) -> Path:
    return shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant" / "source_rebuilt.tflite"


def segments_of(shared: Path, pair: str) -> list[Segment]:
    return read_segments([compiled_of(shared, pair)])


def layers_of(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]


def uint8_weights(op: Op) -> tuple[Array, int]:
    """Weights and their zero point as uint8, whatever the type in the model."""
    weights = op.required_input("filter")
    raised = weights.data.astype(np.int16) + (128 if weights.dtype == np.int8 else 0)
    return raised, int(weights.quant.zero_point[0]) + (128 if weights.dtype == np.int8 else 0)


def bias_of(op: Op) -> Array:
    bias = op.input("bias")
    return np.zeros(op.output.shape[-1], np.int32) if bias is None else bias.data


def inputs_for(graph: Graph, shared: Path, *, noise: int = 2, photos: int = 2) -> Iterator[list[Array]]:
    """Random inputs, and photos where the input is an image of three channels."""
    shape, dtype = graph.inputs[0].shape, graph.inputs[0].dtype
    random = np.random.default_rng(7)
    for _ in range(noise):
        yield [random.integers(0, 256, shape).astype(np.uint8).view(dtype)]
    folder = shared / "data" / "coco_permissive_val" / "images"
    paths = sorted(folder.glob("*.jpg"))[:photos] if len(shape) == 4 and shape[3] == 3 else []
    for path in paths:
        picture = Image.open(path).convert("RGB").resize((shape[2], shape[1]))
        yield [np.asarray(picture, np.uint8)[None]]


def outputs(graph: Graph, inputs: Sequence[list[Array]]) -> list[list[Array]]:
    """On the reference kernels: those of XNNPACK depend on more than the integers of a model."""
    executor = Executor(graph, reference_kernels=True)
    return [executor.run(*one) for one in inputs]


def assert_bit_equal(first: Path, second: Path, shared: Path, **amounts: int) -> None:
    """Two models give the same output for the same input, to the last bit."""
    graphs = [read_tflite(first), read_tflite(second)]
    inputs = list(inputs_for(graphs[0], shared, **amounts))
    for expected, found in zip(outputs(graphs[0], inputs), outputs(graphs[1], inputs), strict=True):
        for one, other in zip(expected, found, strict=True):
            assert one.dtype == other.dtype and np.array_equal(one, other)


def parameters_start(content: bytes, path: Path) -> int:
    """Where the cached parameters lie in the bytes of a compiled file."""
    (package,) = read_compiled(path).packages
    return content.index(bytes(package.executable("PARAMETER_CACHING").parameters))


def program_start(content: bytes, path: Path) -> int:
    """Where the instructions of the inference lie in the bytes of a compiled file."""
    (package,) = read_compiled(path).packages
    (stream,) = package.executable("EXECUTION_ONLY").bitstreams
    return content.index(bytes(stream.content))


def with_bit_flipped(path: Path, position: int, bit: int, target: Path) -> Path:
    """A copy of a file with one bit of one byte flipped."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    target.write_bytes(content)
    return target
