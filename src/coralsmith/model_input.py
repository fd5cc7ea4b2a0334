"""How photos become the input of a model: its size, its normalisation, and what a pixel means to the quantizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.detection.images import ImageFolder
from coralsmith.graph import Array, Graph
from coralsmith.quantization.options import DetectionOutputs, PixelScale, QuantizationOptions
from coralsmith.recipe import Recipe
from coralsmith.tuning.options import TuningOptions


@dataclass(frozen=True)
class NormalisedImages:
    """The images of a folder as a float model takes them, [1, H, W, 3]; can be iterated again and again."""

    images: ImageFolder
    spec: InputSpec

    def __iter__(self) -> Iterator[Array]:
        for pixels in self.images:
            yield self.spec.normalise(pixels[None])


def pixel_scale(spec: InputSpec) -> PixelScale | None:
    """The normalisation as one scale and offset; None where the channels differ."""
    if spec.scale is not None and spec.offset is not None:
        return PixelScale(spec.scale, spec.offset)
    assert spec.mean is not None and spec.std is not None, "a normalisation has one of both forms"
    if len(set(spec.mean)) > 1 or len(set(spec.std)) > 1:
        return None
    return PixelScale(1 / spec.std[0], -spec.mean[0] / spec.std[0])


def quantization_options(
    recipe: Recipe, spec: InputSpec, head: DetectionHead | None = None
) -> QuantizationOptions:
    """What the recipe, the normalisation and the detection head ask of the quantizer."""
    return QuantizationOptions(
        weights=recipe.weights,
        ranges=recipe.ranges,
        percentile=recipe.percentile,
        bias_correction=recipe.bias_correction,
        input_type=recipe.io,
        pixels=pixel_scale(spec),
        equalization=recipe.equalization,
        detection_ranges=recipe.detection_ranges,
        rounding=recipe.rounding,
        outputs=None if head is None else DetectionOutputs.of(head),
    )


def tuning_options(recipe: Recipe) -> TuningOptions:
    """What the recipe asks of the training."""
    return TuningOptions(
        epochs=recipe.tuning_epochs,
        minutes=recipe.tuning_minutes,
        batch=recipe.tuning_batch,
        learning_rate=recipe.tuning_rate,
        seed=recipe.seed,
        device=recipe.tuning_device,
        memory_format=recipe.tuning_memory_format,
        imitation=recipe.tuning_imitation,
    )


def image_size(graph: Graph) -> tuple[int, int] | None:
    """Height and width of the input of an image model; None for any other model."""
    if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != 4 or graph.inputs[0].shape[3] != 3:
        return None
    _, height, width, _ = graph.inputs[0].shape
    return height, width
