"""The quantization stage alone: one float `.tflite` file in, one int8 `.tflite` file out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from coralsmith.detection.head_choice import head_beside, read_head_file
from coralsmith.detection.images import ImageFolder, readable_sample
from coralsmith.detection.input_convention import conventional_input
from coralsmith.detection.preprocess import resize_image
from coralsmith.errors import UsageError
from coralsmith.graph.writer import write_tflite
from coralsmith.importers import import_model
from coralsmith.model_input import NormalisedImages, quantization_options
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.automatic import auto_quantize
from coralsmith.quantization.boundary import set_output_type
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.recipe import Recipe, load_recipe
from coralsmith.repair.driver import repair
from coralsmith.report.document import QuantizedFile

PROOF_IMAGES: Final = 1


def quantize(
    model: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    head: str | Path | None = None,
    recipe: str | Path | None = None,
    progress: Progress = SILENT,
    **choices: Any,
) -> QuantizedFile:
    """The quantization stage alone: a float `.tflite` becomes an int8 one with the same inputs and outputs.

    Exact repairs come first, since some float operators (ADD_N) have no int8 form.

    Args:
        model: Float `.tflite` file.
        images: Folder of typical photos.
        output: The int8 `.tflite` file to write.
        head: Head file, of which the normalisation is used; one beside the model is found by itself. Without any,
            pixels are normalised as MobileNet does it, pixel / 127.5 - 1.
        recipe: YAML recipe file.
        progress: Told about every step.
        **choices: Fields of the recipe.

    Raises:
        CoralsmithError: The model, the images or the output do not allow it.
    """
    source, target = Path(model).expanduser(), Path(output).expanduser()
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"'{output}' is the float model itself.", hint="Name another file with --output.")
    head_file = head_beside(source) if head is None else Path(head).expanduser()
    chosen = load_recipe(None if recipe is None else Path(recipe), choices)
    return _quantize(source, Path(images).expanduser(), target, head_file, chosen, progress)


def _quantize(
    model: Path, images: Path, output: Path, head_file: Path | None, recipe: Recipe, progress: Progress
) -> QuantizedFile:
    imported = import_model(model, trust=recipe.trust, verify=False, progress=progress)
    usual, _ = conventional_input(imported.graph)
    head = None if head_file is None else read_head_file(imported.graph, head_file)
    spec = usual if head is None else head.input
    folder = ImageFolder(images, usual.size, spec.resize, recipe.samples, recipe.seed)
    normalised = NormalisedImages(folder, spec)
    photos = readable_sample(folder.paths, PROOF_IMAGES, recipe.seed)
    folder.start()  # the photos are decoded while the repairs are proved
    probes = [[spec.normalise(resize_image(photo, spec.size, spec.resize)[None])] for photo in photos]
    repaired = repair(imported.graph, recipe.repair, inputs=probes, min_runtime=recipe.min_runtime)
    progress.step("Quantize to int8", len(folder.paths))
    options = quantization_options(recipe, spec, head)
    method = auto_quantize if recipe.quantization == "auto" else quantize_graph
    quantized = method(repaired.graph, normalised, options, progress)
    set_output_type(quantized.graph, recipe.io)
    written = write_tflite(quantized.graph, output)
    return QuantizedFile(
        output,
        written,
        quantized.images,
        dict(Counter(op.custom_code or op.kind for op in quantized.graph.ops)),
        [*imported.findings, *repaired.findings, *folder.findings, *quantized.findings],
    )
