"""Post-training quantization of a whole graph: calibrate, solve, materialise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph, Op, Quant, Tensor
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.boundary import set_input_type
from coralsmith.quantization.calibration import Histogram, observe, observe_histograms
from coralsmith.quantization.detection_ranges import detection_ranges
from coralsmith.quantization.equalization import equalize_for
from coralsmith.quantization.layer_moments import layer_moments
from coralsmith.quantization.materialize import materialize
from coralsmith.quantization.options import PixelScale, QuantizationOptions
from coralsmith.quantization.range_search import least_squares_range, percentile_range
from coralsmith.quantization.ranges import NARROWEST, Range, quant_for
from coralsmith.quantization.rules import WEIGHTED, is_supported
from coralsmith.quantization.scales import solve_scales
from coralsmith.quantization.trial import Trial

ENOUGH_IMAGES: Final = 100  # for a histogram; the smallest and largest values are those of all images


@dataclass(frozen=True)
class Quantized:
    """A full-integer graph and what is known of its making.

    Attributes:
        graph: int8 between input and raw heads.
        source: The float graph that it was made from: the one given, or one that computes the same in other units.
        images: How many images were seen.
        ranges: The observed range of each float activation, by name.
        findings: Dead tensors, values that needed a QUANTIZE of their own.
        options: How it was quantized.
        trials: What was tried, where the methods were chosen by measuring.
    """

    graph: Graph
    source: Graph
    images: int
    ranges: dict[str, Range]
    findings: list[Finding] = field(default_factory=list)
    options: QuantizationOptions = field(default_factory=QuantizationOptions)
    trials: tuple[Trial, ...] = ()


def quantize_graph(
    graph: Graph,
    inputs: Iterable[Array],
    options: QuantizationOptions | None = None,
    progress: Progress = SILENT,
    threads: int = 2,
) -> Quantized:
    """Quantize a float graph to full int8 with the ranges that the inputs cause.

    Args:
        graph: A float graph with one input; it is not changed.
        inputs: Normalised float32 images [1, H, W, C]; iterated twice for histogram methods.
        options: The user's choices.
        progress: Advanced by one per image and pass.
        threads: CPU threads of the interpreter.

    Raises:
        UnsupportedModelError: An operator has no int8 form, or the graph is not float.
        ImageDataError: There is no input.
    """
    options = options or QuantizationOptions()
    _require_quantizable(graph)
    source, findings = equalize_for(graph, inputs, options.equalization, options.weights)
    mean_of = _layer_inputs(source) if options.bias_correction else []
    seen = observe(source, inputs, mean_of, progress, threads)
    clipped = _search(source, inputs, seen.ranges, options, progress, threads)
    fixed, shift = _input_quant(source, options.pixels)
    scales = solve_scales(source, clipped, fixed)
    per_channel = options.weights == "per-channel"
    moments = layer_moments(source, inputs, progress) if options.rounding == "adaptive" else {}
    result = materialize(
        source, scales, per_channel=per_channel, means=seen.means, input_shift=shift, moments=moments
    )
    set_input_type(result, options.input_type)
    result.verify("quantization")
    ranges = {tensor.name: span for tensor, span in seen.ranges.items()}
    findings = [*findings, *_findings(seen.ranges, scales.rescaled)]
    return Quantized(result, source, seen.images, ranges, findings, options)


def _layer_inputs(graph: Graph) -> list[Tensor]:
    """The activations that layers with a correctable bias read."""
    layers = [op for op in graph.ops if op.kind in WEIGHTED and op.kind != "TRANSPOSE_CONV"]
    return list(dict.fromkeys(op.required_input("input") for op in layers))


def _require_quantizable(graph: Graph) -> None:
    if any(tensor.dtype != np.float32 for tensor in (*graph.inputs, *graph.outputs)):
        raise UnsupportedModelError(
            "Only a float32 model can be quantized, and this one is not.",
            hint="Give the float model; a model that is quantized already needs no further quantization.",
        )
    for op in graph.ops:
        if not is_supported(op.kind):
            raise UnsupportedModelError(
                f"{op.custom_code or op.kind} '{op.name}' has no int8 form, so the model cannot become full int8.",
                hint="`coralsmith check` names what to change; `--repair approx` may replace it.",
            )
        rule = WEIGHTED.get(op.kind)
        weights = op.inputs[rule.weights] if rule else None
        if rule and (weights is None or not weights.is_constant):
            raise UnsupportedModelError(f"The weights of {op.kind} '{op.name}' are computed at run time.")


def _search(
    graph: Graph,
    inputs: Iterable[Array],
    ranges: dict[Tensor, Range],
    options: QuantizationOptions,
    progress: Progress,
    threads: int,
) -> dict[Tensor, Range]:
    """The ranges by the chosen method."""

    def by_percentile(histogram: Histogram) -> Range:
        return percentile_range(histogram, options.percentile)

    if options.ranges != "min-max":
        search: Callable[[Histogram], Range] = (
            by_percentile if options.ranges == "percentile" else least_squares_range
        )
        some = islice(inputs, ENOUGH_IMAGES)
        histograms = observe_histograms(graph, some, ranges, progress, threads)
        ranges = {**ranges, **{tensor: search(histogram) for tensor, histogram in histograms.items()}}
    if options.detection_ranges and options.outputs is not None:
        ranges = detection_ranges(graph, islice(inputs, ENOUGH_IMAGES), ranges, options.outputs)
    return ranges


def _input_quant(graph: Graph, pixels: PixelScale | None) -> tuple[dict[Tensor, Quant], dict[Tensor, float]]:
    """The input's scale, one step per pixel value, and how far its rounded zero point misses the truth.

    With MobileNet's x / 127.5 - 1 zero lies at pixel 127.5, between two integers. The half step is the same for
    every pixel, so the first layers' biases can take it back, provided that only layers with a bias read it.
    """
    if pixels is None or len(graph.inputs) != 1:
        return {}, {}
    image = graph.inputs[0]
    quant = quant_for(Range.of(pixels.offset, 255 * pixels.scale + pixels.offset))
    if not np.isclose(float(quant.scale[0]), pixels.scale, rtol=1e-3):
        return {}, {}  # zero lies far outside the pixels' range: one step per pixel value is not possible
    quant = Quant.per_tensor(pixels.scale, int(quant.zero_point[0]))
    taken = (0 - (int(quant.zero_point[0]) + 128)) * pixels.scale
    readers = graph.consumers().get(image, [])
    correctable = image not in graph.outputs and all(op.kind in WEIGHTED for op in readers)
    return {image: quant}, ({image: taken - pixels.offset} if correctable else {})


def _findings(ranges: dict[Tensor, Range], rescaled: list[tuple[Op, int]]) -> list[Finding]:
    dead = [
        Finding(
            "dead-tensor",
            "warning",
            "The tensor hardly ever differs from zero on the calibration images; its range was widened so that "
            "the compiler's fixed-point arithmetic does not overflow.",
            fix="Calibrate with images like those the camera will see; if it stays, the layer learned nothing.",
            tensor=tensor.name,
            measured=f"width {span.width:.3g}",
            limit=f"width {NARROWEST:g}",
            evidence="in a compiler log: no_integer_overflow_from_quantization (google-coral/edgetpu 453)",
        )
        for tensor, span in ranges.items()
        if span.width < NARROWEST
    ]
    requantized = [
        Finding(
            "rescaled-input",
            "info",
            "A QUANTIZE was put in front of this operator: its input is computed elsewhere with another scale.",
            op=op.name,
            tensor=None if (tensor := op.inputs[position]) is None else tensor.name,
            evidence="measured: QUANTIZE int8 to int8 is mapped to the Edge TPU",
        )
        for op, position in rescaled
    ]
    return dead + requantized
