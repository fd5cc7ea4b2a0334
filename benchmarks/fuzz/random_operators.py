"""Models of one operator with random operands and options: mostly plausible, so that many reach its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from coralsmith.graph import OPERATORS, Array, Attribute, Graph, Op, Quant, Tensor
from coralsmith.graph.operators import VALUES
from coralsmith.graph.schema import attribute_fields
from coralsmith.graph.shapes import infer_shapes
from coralsmith.graph.writer import serialize_for_interpreter

KINDS = sorted(OPERATORS)
_TYPES = tuple(
    np.dtype(name)
    for name in ("float32",) * 6 + ("int8",) * 5 + ("uint8",) * 3 + ("int16", "int32", "int64", "bool", "float16")
)
_SIZES = (1, 1, 2, 3, 4, 5, 8)
_SCALES = (1 / 256, 1 / 128, 0.05, 0.05, 0.05, 1.0, 100.0, 1e-3, 1e-10, 1e10, 1e-30, 1e30)
_STEPS = (1, 1, 1, 1, 2, 2, 3, 1 << 20, (1 << 31) - 1)
_FACTORS = (1.0, 1.0, 0.1, 0.0, -1.0, 1e30, 1e-30, float("nan"))
_ABSURD = (-(1 << 31), -2, -1, 0, 1 << 30, (1 << 31) - 1)
_NAMES = {
    "fused_activation_function": ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1", "TANH"),
    "padding": ("SAME", "VALID"),
    "mode": ("REFLECT", "SYMMETRIC"),
    "weights_format": ("DEFAULT", "DEFAULT", "SHUFFLED4x16INT8"),
    **dict.fromkeys(("in_data_type", "out_data_type"), ("FLOAT32", "INT32", "INT8")),
    **dict.fromkeys(("out_type", "output_type"), ("INT32", "INT64")),
    "quantized_bias_type": (0, 0, 2),
}
_TRUTH = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
_COUNTS = frozenset({"ARG_MAX", "ARG_MIN", "SHAPE", "RANK"})
_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST"})


def random_operator(kind: str, generator: np.random.Generator) -> bytes:
    """A file with one operator of `kind`; whether it makes sense is for the reader to say."""
    return serialize_for_interpreter(_Draw(kind, generator).graph())[0]


class _Draw:
    def __init__(self, kind: str, generator: np.random.Generator) -> None:
        self.kind, self.random = kind, generator
        images = any(part in kind for part in ("CONV_2D", "POOL", "RESIZE", "SPACE"))
        rank = 4 if images or self.chance(0.5) else int(generator.integers(0, 6))
        self.shape = tuple(int(self.any(_SIZES)) for _ in range(rank))
        self.dtype = self.any(_TYPES)
        self.weights: Tensor | None = None

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def any(self, items: Any) -> Any:
        return items[int(self.random.integers(len(items)))]

    def graph(self) -> Graph:
        spec = OPERATORS[self.kind]
        roles = (
            spec.inputs[: int(self.random.integers(spec.required, len(spec.inputs) + 1))] if spec.inputs else ()
        )
        inputs = [self.operand(role) for role in roles or VALUES[:1] * int(self.random.integers(1, 4))]
        attributes = self.attributes(spec.options) if spec.options else {}
        parts = attributes.get("num_splits") or attributes.get("num") or 1
        outputs = [self.output(number) for number in range(int(parts) if isinstance(parts, int) else 1)]
        op = Op(self.kind, inputs, outputs, attributes)
        try:
            shapes = infer_shapes(op) or []
        except (ValueError, IndexError):
            shapes = []
        for tensor, shape in zip(outputs, shapes, strict=False):
            tensor.shape = tuple(min(size, (1 << 31) - 1) for size in shape)
        sources = dict.fromkeys(tensor for tensor in inputs if tensor is not None and not tensor.is_constant)
        return Graph([op], list(sources), outputs)

    def output(self, number: int) -> Tensor:
        dtype = self.any(_TYPES) if self.kind in _CONVERSIONS else self.dtype
        if self.kind in _TRUTH | _COUNTS:
            dtype = np.dtype(np.bool_ if self.kind in _TRUTH else np.int32)
        return Tensor(f"output{number}", (1,), dtype, quant=self.quant(dtype))

    def quant(self, dtype: np.dtype[Any]) -> Quant | None:
        if dtype.kind not in "iu" or dtype.itemsize > 2 or self.chance(0.05):
            return None
        limits = np.iinfo(dtype)
        zero_point = self.any((0, 0, 3, limits.min, limits.max))
        return Quant.per_tensor(self.any(_SCALES), max(int(limits.min), zero_point))

    def operand(self, role: str) -> Tensor | None:
        if role in VALUES:
            return self.value(role)
        if role == "filter":
            self.weights = self.filter()
            return self.weights
        if role == "bias":
            return self.bias()
        if role == "condition":
            return Tensor(role, self.shape, np.dtype(np.bool_))
        return self.numbers(role)

    def value(self, role: str) -> Tensor:
        shape, dtype = self.shape, self.dtype
        if self.chance(0.2):  # something that may broadcast
            shape = tuple(
                size if self.chance(0.6) else 1 for size in shape[int(self.random.integers(len(shape) + 1)) :]
            )
        if self.chance(0.03):
            dtype = self.any(_TYPES)
        tensor = Tensor(f"{role}{self.random.integers(1 << 30)}", shape, dtype, quant=self.quant(dtype))
        if role != "input" and self.chance(0.3):
            tensor.data = self.noise(shape, dtype)
        return tensor

    def noise(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.asarray(3 * self.random.standard_normal(shape)).astype(dtype)

    def filter(self) -> Tensor:
        channels, window = (self.shape or (1,))[-1], self.random.integers(1, 5, 2).tolist()
        filters = int(self.random.integers(1, 5))
        shape = {
            "FULLY_CONNECTED": (filters, channels),
            "DEPTHWISE_CONV_2D": (1, *window, channels * int(self.random.integers(1, 3))),
        }.get(self.kind, (filters, *window, channels))
        dtype = np.dtype(np.int8) if self.dtype == np.int16 or self.chance(0.1) else self.dtype
        quant = self.quant(dtype)
        if quant is not None and self.chance(0.5):
            axis = 3 if self.kind == "DEPTHWISE_CONV_2D" else 0
            quant = Quant(np.full(shape[axis], 0.01, np.float32), np.zeros(shape[axis], np.int64), axis)
        return Tensor.constant("filter", self.noise(shape, dtype), quant)

    def bias(self) -> Tensor | None:
        if self.weights is None or self.chance(0.1):
            return None
        channels = self.weights.shape[3 if self.kind == "DEPTHWISE_CONV_2D" else 0]
        dtype = np.dtype({"f": np.float32}.get(self.dtype.kind, np.int64 if self.dtype == np.int16 else np.int32))
        shape = (channels,) if self.chance(0.9) else self.any([(1, channels), (channels, 1), (channels + 1,)])
        quant = self.weights.quant if dtype.kind == "i" else None
        return Tensor.constant("bias", self.noise(shape, dtype), quant)

    def numbers(self, role: str) -> Tensor:
        """Axes, sizes, paddings, permutations, indices."""
        values = self.plausible(role)
        if values.size and self.chance(0.03):
            values[self.random.integers(values.size)] = self.any(_ABSURD)
        values = values.astype(np.int64 if self.chance(0.05) else np.int32)
        if role in ("paddings", "crops"):
            values = values.reshape(-1, 2)
        if role == "axis" and self.chance(0.3):
            values = values.reshape(())
        tensor = Tensor.constant(role, values)
        if role == "indices" and self.chance(0.3):
            tensor.data = None
        return tensor

    def plausible(self, role: str) -> Array:
        """Numbers of the length that the role has, and in its range."""
        rank, shape = len(self.shape), np.array(self.shape, np.int64)
        blocks = "SPACE" in self.kind
        match role:
            case "axis":
                return self.random.integers(-2, 4, 1)
            case "permutation":
                return self.random.permutation(rank)
            case "shape":
                return self.random.permutation(shape)
            case "output_shape":
                return np.array([*self.shape[:3], self.random.integers(1, 5)])
            case "size" if self.kind == "SLICE":
                return self.random.choice([-1, 1], rank)
            case "sizes":
                return np.array([-1, 1, 1])[: self.random.integers(1, 4)]
            case "begin" | "paddings" | "crops" | "indices":
                length = 4 if blocks else 2 * rank if role == "paddings" else rank
                return self.random.integers(0, 2, length)
            case _:
                return self.random.integers(1, 4, 2 if blocks or role == "size" else rank)

    def attributes(self, table: str) -> dict[str, Attribute]:
        if self.chance(0.03):
            return {}
        drawn = {name: self.attribute(name) for name in attribute_fields(table) if name != "quant_spec"}
        if "values_count" in drawn:
            drawn["values_count"] = self.any((1, 2, 3))
        return drawn

    def attribute(self, name: str) -> Attribute:
        if name in _NAMES:
            return self.any(_NAMES[name])
        if name in ("alpha", "beta"):
            return self.any(_FACTORS)
        if name.startswith(("stride_", "dilation_", "filter_")) or name in ("block_size", "depth_multiplier"):
            return self.any(_STEPS)
        if name in ("num", "num_splits", "axis", "batch_dims", "values_count"):
            return int(self.random.integers(-3 if name == "axis" else 0 if name == "batch_dims" else 1, 4))
        if name.endswith("_mask"):
            return int(self.random.integers(16)) if self.chance(0.3) else 0
        if name in ("new_shape", "squeeze_dims"):
            return (
                tuple(self.random.permutation(np.array(self.shape, np.int64)).tolist())
                if name == "new_shape"
                else ()
            )
        return self.chance(0.3)
