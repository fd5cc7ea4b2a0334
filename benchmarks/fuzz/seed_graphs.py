"""Small graphs that between them hold every operator of the operator table, as seeds of the fuzz run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from coralsmith.graph import Array, Attribute, Graph, Op, Quant, Tensor

NHWC = (1, 8, 8, 4)
POINTWISE = (
    "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "LOGISTIC", "TANH", "HARD_SWISH", "GELU", "ABS", "NEG", "SQUARE",
    "SQRT", "RSQRT", "EXP", "LOG", "SOFTMAX", "LOG_SOFTMAX", "LEAKY_RELU", "L2_NORMALIZATION",
)  # fmt: skip
INT8_POINTWISE = ("RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "SOFTMAX", "ABS")
BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV", "POW")
INT8_BINARY = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
NEEDED: dict[str, dict[str, Attribute]] = {
    "SOFTMAX": {"beta": 1.0},
    "LEAKY_RELU": {"alpha": 0.1},
    "GELU": {"approximate": True},
}
FIXED_OUTPUT = {
    "LOGISTIC": Quant.per_tensor(1 / 256, -128),
    "SOFTMAX": Quant.per_tensor(1 / 256, -128),
    "TANH": Quant.per_tensor(1 / 128, 0),
}


class GraphBuilder:
    """Appends operators to one graph over one element type."""

    def __init__(self, dtype: Any = np.float32, shape: tuple[int, ...] = NHWC) -> None:
        self.dtype = np.dtype(dtype)
        self.quant = None if self.dtype.kind == "f" else Quant.per_tensor(0.05, 3)
        self.source = Tensor("input", shape, self.dtype, quant=self.quant)
        self.ops: list[Op] = []
        self.outputs: list[Tensor] = []

    def constant(self, name: str, values: Array, quant: Quant | None = None) -> Tensor:
        """A constant tensor with a name of its own."""
        return Tensor.constant(f"{name}_{len(self.ops)}", values, quant)

    def integers(self, name: str, *values: int) -> Tensor:
        """A constant of int32."""
        return self.constant(name, np.array(values, np.int32))

    def weights(self, *shape: int, axis: int) -> Tensor:
        """Noise as weights, quantized per channel of `axis` where the data is."""
        noise = np.random.default_rng(len(self.ops)).normal(0, 0.3, shape).astype(np.float32)
        if self.quant is None:
            return self.constant("weights", noise)
        scales = np.full(shape[axis], 0.01, np.float32)
        quant = Quant(scales, np.zeros(shape[axis], np.int64), axis)
        return self.constant("weights", quant.quantize(noise, np.dtype(np.int8)), quant)

    def bias(self, channels: int) -> Tensor:
        """A bias of the type that belongs to the data."""
        if self.quant is None:
            return self.constant("bias", np.linspace(-1, 1, channels, dtype=np.float32))
        quant = Quant(np.full(channels, 0.0005, np.float32), np.zeros(channels, np.int64))
        return self.constant("bias", np.arange(channels, dtype=np.int32), quant)

    def add(
        self,
        kind: str,
        inputs: list[Tensor | None],
        *shapes: tuple[int, ...],
        dtype: Any = None,
        **options: Attribute,
    ) -> Tensor:
        """Append an operator with outputs of `shapes`; each output is one of the graph."""
        element = np.dtype(dtype or self.dtype)
        quant = None
        if self.quant is not None and element == self.dtype:
            quant = FIXED_OUTPUT.get(kind, self.quant)
        outputs = [
            Tensor(f"{kind}_{len(self.ops)}_{i}", shape, element, quant=quant) for i, shape in enumerate(shapes)
        ]
        self.ops.append(Op(kind, inputs, outputs, {**NEEDED.get(kind, {}), **options}))
        self.outputs.extend(outputs)
        return outputs[0]

    def graph(self) -> Graph:
        """The verified graph."""
        graph = Graph(self.ops, [self.source], self.outputs)
        graph.verify("building a seed graph")
        return graph


def _convolutions(build: GraphBuilder) -> None:
    window: dict[str, Attribute] = {
        "padding": "SAME",
        "stride_h": 2,
        "stride_w": 1,
        "fused_activation_function": "RELU6",
    }
    dilation: dict[str, Attribute] = {"dilation_h_factor": 1, "dilation_w_factor": 1}
    source = build.source
    build.add(
        "CONV_2D", [source, build.weights(5, 3, 3, 4, axis=0), build.bias(5)], (1, 4, 8, 5), **window, **dilation
    )
    depthwise = [source, build.weights(1, 3, 3, 8, axis=3), build.bias(8)]
    build.add("DEPTHWISE_CONV_2D", depthwise, (1, 4, 8, 8), depth_multiplier=2, **window, **dilation)
    build.add("AVERAGE_POOL_2D", [source], (1, 4, 8, 4), filter_height=2, filter_width=3, **window)
    build.add("MAX_POOL_2D", [source], (1, 4, 8, 4), filter_height=2, filter_width=3, **window)
    flat = build.add("RESHAPE", [source, build.integers("shape", 1, -1)], (1, 256), new_shape=(1, -1))
    weights = build.weights(6, 256, axis=0) if build.quant is None else _per_tensor(build, 6, 256)
    options: dict[str, Attribute] = {"weights_format": "DEFAULT", "fused_activation_function": "NONE"}
    build.add("FULLY_CONNECTED", [flat, weights, None], (1, 6), keep_num_dims=False, **options)
    upsampled = [build.integers("shape", 1, 16, 16, 3), build.weights(3, 2, 2, 4, axis=0), source]
    build.add("TRANSPOSE_CONV", upsampled, (1, 16, 16, 3), padding="SAME", stride_h=2, stride_w=2)


def _per_tensor(build: GraphBuilder, *shape: int) -> Tensor:
    noise = np.random.default_rng(7).integers(-127, 128, shape).astype(np.int8)
    return build.constant("weights", noise, Quant.per_tensor(0.01, 0))


def _arithmetic(build: GraphBuilder) -> None:
    is_float = build.quant is None
    for kind in POINTWISE if is_float else INT8_POINTWISE:
        build.add(kind, [build.source], NHWC)
    other = Tensor.constant("other", np.ones((1, 1, 1, 4), build.dtype), build.quant)
    for kind in BINARY if is_float else INT8_BINARY:
        build.add(kind, [build.source, other], NHWC)
    build.add("PRELU", [build.source, other], NHWC)
    for kind in REDUCTIONS[: 5 if is_float else 4]:
        build.add(kind, [build.source, build.integers("axis", 1, 2)], (1, 1, 1, 4), keep_dims=True)
    build.add("ARG_MAX", [build.source, build.integers("axis", 3)], (1, 8, 8), dtype=np.int32, output_type="INT32")
    if is_float:
        build.add("ADD_N", [build.source, build.outputs[0], build.outputs[1]], NHWC)


def _layout(build: GraphBuilder) -> None:
    source = build.source
    build.add("CONCATENATION", [source, source], (1, 8, 8, 8), axis=-1)
    build.add("PACK", [source, source], (2, 1, 8, 8, 4), axis=0, values_count=2)
    build.add("UNPACK", [source], *[(1, 8, 8)] * 4, axis=3, num=4)
    build.add("SPLIT", [build.integers("axis", 3), source], *[(1, 8, 8, 2)] * 2, num_splits=2)
    sizes = [source, build.integers("sizes", 3, 5), build.integers("axis", 1)]
    build.add("SPLIT_V", sizes, (1, 3, 8, 4), (1, 5, 8, 4), num_splits=2)
    pads = build.constant("pads", np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    padded = (1, 11, 9, 4)
    build.add("PAD", [source, pads], padded)
    fill = Tensor.constant("fill", np.full((1,), 2, build.dtype), build.quant)
    build.add("PADV2", [source, pads, fill], padded)
    build.add("MIRROR_PAD", [source, pads], padded, mode="REFLECT")
    build.add("TRANSPOSE", [source, build.integers("order", 0, 3, 1, 2)], (1, 4, 8, 8))
    begin = build.integers("begin", 0, 1, 0, 0)
    build.add("SLICE", [source, begin, build.integers("size", 1, 5, -1, 2)], (1, 5, 8, 2))
    bounds = [source, begin, build.integers("end", 1, 7, 8, 4), build.integers("strides", 1, 2, 1, 1)]
    build.add("STRIDED_SLICE", bounds, (1, 3, 8, 4), begin_mask=0, end_mask=4, shrink_axis_mask=0)
    build.add("EXPAND_DIMS", [source, build.integers("axis", 0)], (1, *NHWC))
    build.add("SQUEEZE", [source], (8, 8, 4), squeeze_dims=(0,))
    build.add("GATHER", [source, build.integers("indices", 3, 0)], (1, 2, 8, 4), axis=1)
    build.add("TILE", [source, build.integers("multiples", 1, 2, 1, 1)], (1, 16, 8, 4))
    build.add("SPACE_TO_DEPTH", [source], (1, 4, 4, 16), block_size=2)
    build.add("DEPTH_TO_SPACE", [source], (1, 16, 16, 1), block_size=2)
    size = build.integers("size", 16, 12)
    for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        build.add(kind, [source, size], (1, 16, 12, 4), align_corners=False, half_pixel_centers=True)
    blocks = [build.integers("block", 2, 2), build.constant("crops", np.zeros((2, 2), np.int32))]
    batched = build.add("SPACE_TO_BATCH_ND", [source, *blocks], (4, 4, 4, 4))
    build.add("BATCH_TO_SPACE_ND", [batched, *blocks], NHWC)
    build.add("SHAPE", [source], (4,), dtype=np.int32, out_type="INT32")
    build.add("FILL", [size, Tensor.constant("value", np.zeros((), np.int32))], (16, 12), dtype=np.int32)
    build.add("CAST", [source], NHWC, dtype=np.int32, in_data_type="FLOAT32", out_data_type="INT32")


def _choosing(build: GraphBuilder) -> None:
    """Comparisons, truth values and what is chosen by them."""
    source, other = build.source, build.constant("other", np.zeros((1, 1, 1, 4), np.float32))
    for kind in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        build.add(kind, [source, other], NHWC, dtype=np.bool_)
    first, second = build.outputs[:2]
    for kind in ("LOGICAL_AND", "LOGICAL_OR"):
        build.add(kind, [first, second], NHWC, dtype=np.bool_)
    build.add("LOGICAL_NOT", [first], NHWC, dtype=np.bool_)
    build.add("SELECT", [first, source, source], NHWC)
    build.add("SELECT_V2", [first, source, other], NHWC)
    for kind in ("REDUCE_ANY", "REDUCE_ALL"):
        build.add(kind, [first, build.integers("axis", 3)], (1, 8, 8), dtype=np.bool_, keep_dims=False)
    for kind in ("SIN", "COS", "CEIL", "FLOOR", "ROUND", "SIGN", "ZEROS_LIKE"):
        build.add(kind, [source], NHWC)
    build.add("FLOOR_MOD", [source, build.constant("two", np.full((4,), 2, np.float32))], NHWC)
    build.add("RANK", [source], (), dtype=np.int32)
    build.add("BROADCAST_TO", [other, build.integers("shape", *NHWC)], NHWC)
    build.add("GATHER_ND", [source, build.constant("places", np.zeros((3, 2), np.int32))], (3, 8, 4))
    for kind in ("REVERSE_V2", "CUMSUM"):
        build.add(kind, [source, build.integers("axis", 1)], NHWC)
    build.add("ARG_MIN", [source, build.integers("axis", 3)], (1, 8, 8), dtype=np.int32, output_type="INT32")


def _element_types(build: GraphBuilder) -> None:
    """Float to uint8 to int8 and back, the input and output of most quantized models."""
    quant = Quant.per_tensor(0.02, 128)
    small = Tensor("uint8", NHWC, np.dtype(np.uint8), quant=quant)
    signed = Tensor("int8", NHWC, np.dtype(np.int8), quant=Quant.per_tensor(0.02, 0))
    real = Tensor("real", NHWC, np.dtype(np.float32))
    build.ops = [Op("QUANTIZE", [build.source], [small]), Op("QUANTIZE", [small], [signed])]
    build.ops.append(Op("DEQUANTIZE", [signed], [real]))
    build.outputs = [small, signed, real]


def _postprocess(build: GraphBuilder) -> None:
    """Sixteen boxes of two classes through the detection post-processing of TFLite."""
    options = flexbuffers.Builder()
    with options.Map():
        for name, number in (("max_detections", 4), ("max_classes_per_detection", 1), ("num_classes", 2)):
            options.Int(name, number)
        options.Bool("use_regular_nms", False)
        for name, number in (("nms_score_threshold", 0.1), ("nms_iou_threshold", 0.6)):
            options.Float(name, number)
        for name in "yxhw":
            options.Float(f"{name}_scale", 10.0)
    boxes = build.add(
        "RESHAPE", [build.source, build.integers("shape", 1, 64, 4)], (1, 64, 4), new_shape=(1, 64, 4)
    )
    scores = build.add(
        "SLICE", [boxes, build.integers("begin", 0, 0, 0), build.integers("size", 1, 64, 2)], (1, 64, 2)
    )
    anchors = build.constant("anchors", np.full((64, 4), 0.5, np.float32))
    build.add("CUSTOM", [boxes, scores, anchors], (1, 4, 4), (1, 4), (1, 4), (1,))
    build.ops[-1].custom_code = "TFLite_Detection_PostProcess"
    build.ops[-1].custom_options = bytes(options.Finish())


def seed_graphs() -> dict[str, Graph]:
    """Name -> valid graph."""
    graphs: dict[str, Graph] = {}
    for dtype in (np.float32, np.int8):
        for fill in (_convolutions, _arithmetic, _layout):
            graphs[f"{np.dtype(dtype).name}{fill.__name__}"] = _filled(fill, dtype)
    for fill in (_choosing, _element_types, _postprocess):
        graphs[fill.__name__[1:]] = _filled(fill, np.float32)
    return graphs


def _filled(fill: Callable[[GraphBuilder], None], dtype: Any) -> Graph:
    build = GraphBuilder(dtype)
    fill(build)
    return build.graph()
