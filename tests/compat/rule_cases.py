"""Two minimal graphs for each rule about an operator: one keeps it, one breaks it by as little as possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph.model import Graph, Op, Quant
from tests.builders import activation, constant, op
from tests.compat.operator_graphs import (
    OPERATOR_GRAPHS,
    POOL,
    alone,
    behind_relu,
    conv,
    converting,
    custom,
    dense,
    lstm,
    ones,
    packed,
    pad,
    prelu,
    reshape,
    resize,
    split,
    strided_slice,
    unary,
    value,
    with_numbers,
)

OTHER_SCALE: Final = Quant.per_tensor(0.5, 7)
BILINEAR: Final = "RESIZE_BILINEAR"
NEAREST: Final = "RESIZE_NEAREST_NEIGHBOR"


@dataclass(frozen=True)
class Case:
    """A rule and its two graphs; the last operator of each is the one that is judged.

    Attributes:
        rule: Identifier of the rule.
        keeps: A graph whose last operator is mapped.
        breaks: A graph whose last operator is not.
        target: What the other side of the limit is: "cpu", or "unknown".
        runtimes: The minimum runtime of each graph.
        told_by: The rule whose finding tells of it, where that is another one.
    """

    rule: str
    keeps: Graph
    breaks: Graph
    target: str = "cpu"
    runtimes: tuple[int, int] = (14, 14)
    told_by: str = ""

    def __str__(self) -> str:
        return f"{self.rule}-{self.breaks.ops[-1].kind}-{self.target}"


def unknown(rule: str, keeps: Graph, breaks: Graph, runtimes: tuple[int, int] = (14, 14)) -> Case:
    """A case in which nobody knows what becomes of the operator."""
    return Case(rule, keeps, breaks, "unknown", runtimes)


def older(rule: str, graph: Graph, newest: int, oldest: int, target: str) -> Case:
    """A case in which the same graph is judged for two runtimes."""
    return Case(rule, graph, graph, target, (newest, oldest))


def versioned(graph: Graph, version: int) -> Graph:
    """The graph with a version in its operator, as if it came from a file."""
    copy = graph.copy()
    copy.ops[-1].version = version
    return copy


def softmax(*shape: int) -> Graph:
    return unary("SOFTMAX", *shape, beta=1.0)


def mean(shape: tuple[int, ...], *axes: int) -> Graph:
    return with_numbers("MEAN", shape, *axes, keep_dims=False)


def joined_with(*constants, values: int = 1) -> Graph:
    inputs = [value(1, 4, name=f"value {number}") for number in range(values)]
    return alone(op("CONCATENATION", [*inputs, *constants], "output", axis=1, fused_activation_function="NONE"))


def maps_joined(size: int, channels: int) -> Graph:
    inputs = [value(1, size, size, channels, name=name) for name in ("first", "second")]
    return alone(op("CONCATENATION", inputs, "output", axis=3, fused_activation_function="NONE"))


def sevens(quant: Quant):
    return constant("sevens", np.full((1, 4), 7), np.int8, quant)


def dilated(height: int, width: int) -> Graph:
    return conv(dilation_h_factor=height, dilation_w_factor=width)


def pool(kind: str, activation_function: str) -> Graph:
    return unary(kind, 1, 8, 8, 4, **{**POOL, "fused_activation_function": activation_function})


def tile(shape: tuple[int, ...], *multiples: int) -> Graph:
    return with_numbers("TILE", shape, *multiples)


def squeeze(shape: tuple[int, ...], *dims: int) -> Graph:
    return unary("SQUEEZE", *shape, squeeze_dims=dims)


def adding(dtype) -> Graph:
    """A sum of 8-bit values, or of integers that stand for themselves."""
    quant = None if dtype == np.int64 else Quant.per_tensor(0.5, 0)
    inputs = [activation(name, (1, 4), dtype, quant) for name in ("first", "second")]
    return alone(op("ADD", inputs, "output", fused_activation_function="NONE"))


def behind(*kinds: str) -> Graph:
    """Operators one behind the other."""
    ops: list[Op] = []
    for number, kind in enumerate(kinds):
        source = ops[-1].output if ops else value(1, 8)
        attributes = {"alpha": 0.1} if kind == "LEAKY_RELU" else {}
        ops.append(op(kind, [source], f"output {number}", **attributes))
    return alone(*ops)


OPERATOR_CASES: Final = (
    Case("custom-operator", unary("LOGISTIC", 1, 4), behind_relu(custom())),
    Case("float-input", converting("QUANTIZE", np.uint8, np.int8), converting("QUANTIZE", np.float32, np.int8)),
    Case(
        "float-output",
        converting("QUANTIZE", np.int8, np.uint8),
        behind_relu(converting("DEQUANTIZE", np.int8, np.float32)),
    ),
    Case("unsupported-data-type", adding(np.int8), alone(*unary("RELU", 1, 4).ops, *adding(np.int64).ops)),
    older("int8-runtime", unary("RELU", 1, 4), 12, 11, "cpu"),
    Case("operation-not-supported", behind("RELU"), behind("RELU", "LEAKY_RELU")),
    older("operation-runtime", OPERATOR_GRAPHS["SUM"](np.uint8), 13, 12, "cpu"),
    older("operation-runtime", OPERATOR_GRAPHS["PRELU"](np.uint8), 13, 12, "unknown"),
    unknown("unknown-operator", OPERATOR_GRAPHS["SPLIT"](np.int8), OPERATOR_GRAPHS["SPLIT_V"](np.int8)),
    unknown("uncertain-operator", reshape((1, 8, 4), (1, 4, 8)), OPERATOR_GRAPHS["TRANSPOSE"](np.int8)),
    Case("operation-version", versioned(dense(), 4), versioned(dense(), 9)),
    Case(
        "operation-version",
        versioned(conv(), 3),
        versioned(conv(), 5),
        told_by="operation-version-unreadable",
    ),
    unknown("operation-version", versioned(conv(), 3), versioned(conv(), 4)),
    unknown(
        "operation-version",
        versioned(OPERATOR_GRAPHS["TRANSPOSE_CONV"](np.int8), 2),
        versioned(OPERATOR_GRAPHS["TRANSPOSE_CONV"](np.int8), 3),
    ),
    older("operation-version", versioned(resize(NEAREST, 8, 16), 3), 14, 13, "unknown"),
    older("operation-version", versioned(resize(BILINEAR, 8, 16), 3), 14, 13, "unknown"),
    Case("tensor-rank", unary("RELU", 1, 8, 8, 4), unary("RELU", 2, 8, 8, 4)),
    Case("tensor-rank", unary("RELU", 1, 1, 8, 8, 4), unary("RELU", 1, 2, 8, 8, 4)),
    Case("parameter-not-constant", conv(), conv(value(4, 3, 3, 4, name="computed"))),
    Case("parameter-not-constant", prelu(), prelu(value(1, 1, 4, name="computed"))),
    Case("equal-dilation", dilated(2, 2), dilated(2, 1)),
    unknown("grouped-convolution", conv(), conv(ones(4, 3, 3, 2))),
    Case("fused-activation", pool("MAX_POOL_2D", "NONE"), pool("MAX_POOL_2D", "RELU6")),
    Case("fused-activation", pool("AVERAGE_POOL_2D", "NONE"), pool("AVERAGE_POOL_2D", "RELU")),
    Case("concatenated-constant", joined_with(sevens(OTHER_SCALE)), joined_with(sevens(Quant.per_tensor(0.5, 0)))),
    Case("concatenated-constant", joined_with(values=3), joined_with(sevens(OTHER_SCALE), values=2)),
    unknown("concatenation-size", maps_joined(240, 15), maps_joined(241, 15)),
    Case("weights-format", dense(), dense(weights_format="SHUFFLED4x16INT8")),
    Case("dense-output-rank", dense(rows=1), dense(rows=2)),
    unknown("dense-width", dense(8_192), dense(8_193)),
    Case("dense-width", dense(8_192), dense(100_000)),
    Case("reduced-batch", mean((1, 8, 8, 4), 1, 2), mean((1, 8, 8, 4), 0, 1)),
    Case("reduced-batch", mean((1, 8, 8, 4), -1), mean((1, 8, 8, 4), -4)),
    Case("reduced-depth", mean((1, 8, 8, 8), 3), mean((1, 8, 8, 6), 3)),
    older("mean-axes-runtime", mean((1, 8, 8, 8), 3), 14, 13, "unknown"),
    unknown("mean-area", mean((1, 64, 128, 3), 1, 2), mean((1, 64, 129, 3), 1, 2)),
    Case("mean-area", mean((1, 64, 128, 3), 1, 2), mean((1, 256, 128, 3), 1, 2)),
    unknown("mean-size", mean((1, 8, 8, 1280), 1, 2), mean((1, 8, 8, 1281), 1, 2)),
    Case("padded-batch", pad((0, 0), (1, 1), (1, 1), (0, 0)), pad((1, 0), (1, 1), (1, 1), (0, 0))),
    older("padded-channels-runtime", pad((0, 0), (1, 1), (1, 1), (0, 4)), 14, 13, "unknown"),
    unknown("reshape-size", reshape((1, 94_400), (1, 2, 47_200)), reshape((1, 94_402), (1, 2, 47_201))),
    unknown(
        "head-reshape-size",
        reshape((1, 40, 40, 810), (1, 14_400, 90)),
        reshape((1, 41, 41, 810), (1, 15_129, 90)),
    ),
    unknown("resize-factor", resize(BILINEAR, 8, 16), resize(BILINEAR, 8, 17)),
    unknown("resize-factor", resize(BILINEAR, 2, 4), resize(BILINEAR, 2, 30)),
    Case("resize-factor", resize(BILINEAR, 2, 4), resize(BILINEAR, 2, 31)),
    unknown("resize-size", resize(BILINEAR, 24, 48, 24), resize(BILINEAR, 24, 48, 25)),
    unknown("nearest-resize-factor", resize(NEAREST, 8, 16), resize(NEAREST, 8, 17)),
    unknown("nearest-resize-size", resize(NEAREST, 20, 40, 64), resize(NEAREST, 20, 40, 65)),
    unknown("softmax-size", softmax(1, 16_384), softmax(1, 16_385)),
    unknown("softmax-rank", softmax(1, 1, 91), softmax(1, 2, 91)),
    Case("split-batch", split("SPLIT", 3), split("SPLIT", 0, (2, 1, 1, 4))),
    Case("split-batch", packed(1), packed(0)),
    unknown("squeeze-layout", squeeze((1, 1, 10), 0), squeeze((5, 1, 10), 1)),
    Case("strided-slice-stride", strided_slice(1), strided_slice(2)),
    Case("strided-slice-mask", strided_slice(), strided_slice(ellipsis_mask=1)),
    Case("prelu-alpha", prelu(ones(1, 1, 4)), prelu(ones(8, 8, 4))),
    unknown("tile-layout", tile((1, 1, 1, 4), 1, 8, 8, 1), tile((1, 2, 1, 4), 1, 4, 8, 1)),
    unknown("tile-layout", tile((1, 1, 1, 4), 1, 8, 8, 1), tile((1, 1, 1, 4), 1, 8, 8, 2)),
    unknown("lstm-width", lstm(900), lstm(901)),
    Case(
        "more-than-one-subgraph",
        behind("RELU", "RELU"),
        behind("RELU", "LEAKY_RELU", "RELU"),
        told_by="operation-not-supported",
    ),
)
