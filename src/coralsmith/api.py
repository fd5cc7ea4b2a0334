"""The public functions; `coralsmith` re-exports them, the command line calls them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from coralsmith.compiler.cache import default_cache_folder
from coralsmith.compiler.locate import find_compiler, manual_command
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.proof import prove_origin
from coralsmith.compiler.run import DEFAULT_TIMEOUT_S, Compilation, compile_model
from coralsmith.compiler.trying import DEFAULT_ATTEMPTS
from coralsmith.detect_images import DetectionChoices, detect_images
from coralsmith.detection.draw import draw_detections
from coralsmith.detection.head import DetectionHead
from coralsmith.errors import CompilerError
from coralsmith.head_of_model import examine_head
from coralsmith.job import Job
from coralsmith.outcome import build_report
from coralsmith.output_folder import REPORT_FILE
from coralsmith.pipeline import Conversion
from coralsmith.progress import SILENT, Progress
from coralsmith.recipe import load_recipe
from coralsmith.report.document import ConversionReport, DetectionRecord
from coralsmith.report.html import SamplePicture, render_html
from coralsmith.report.plain import to_json

PathLike = str | Path
LARGEST_PICTURE = 720


def convert(
    source: PathLike,
    images: PathLike | None = None,
    out: PathLike | None = None,
    *,
    recipe: PathLike | None = None,
    head: PathLike | None = None,
    labels: PathLike | None = None,
    dataset: PathLike | None = None,
    split: str | None = None,
    resume: bool = True,
    force: bool = False,
    progress: Progress = SILENT,
    **choices: Any,
) -> ConversionReport:
    """Turn a trained detector into a verified int8 Edge TPU model.

    Args:
        source: `.keras`, `.h5`, SavedModel folder, frozen `.pb`, TensorFlow.js `model.json`, `.onnx`, `.pt2`,
            PyTorch weights, or `.tflite`.
        images: Folder of typical photos, without labels; needed unless the source is quantized already.
        out: Output folder; by default ``<name>-edgetpu`` in the current folder.
        recipe: YAML file with fields of `coralsmith.recipe.Recipe`.
        head: Head file (`head.json`) where the model's own head is not to be used.
        labels: Label file.
        dataset: Labelled images (COCO, Pascal VOC, YOLO) to measure accuracy on; never calibrated with.
        split: Which of them; by default "test", else "val", else all.
        resume: Reuse the results of an earlier run into the same folder.
        force: Write into a folder that holds other files, and reuse nothing.
        progress: Told about every step.
        **choices: Fields of the recipe, which win over the file.

    Returns:
        What `report.json` holds; ``report.verdict.status`` is ``blocked`` where findings stopped the job.

    Raises:
        CoralsmithError: The input, an option or the machine does not allow it; each error carries a hint.
    """
    job = Job(
        source=_path(source),
        recipe=load_recipe(None if recipe is None else _path(recipe), choices),
        images=None if images is None else _path(images),
        out=None if out is None else _path(out),
        head=None if head is None else _path(head),
        labels=None if labels is None else _path(labels),
        dataset=None if dataset is None else _path(dataset),
        split=split,
        resume=resume,
        force=force,
    )
    run = Conversion(job, progress)
    run.run()
    return finish(run)


def finish(run: Conversion) -> ConversionReport:
    """Write the report of a conversion, in both forms; report.json comes last and lists all other files."""
    pictures = [
        SamplePicture(name, None if reference is None else encode_jpeg(reference), encode_jpeg(quantized))
        for name, reference, quantized in drawn_views(run)
    ]
    run.folder.write("report.html", render_html(build_report(run), pictures).encode())
    report = build_report(run)
    run.folder.write(REPORT_FILE, to_json(report).encode())
    return report


def compile(  # noqa: A001 - the command is called so, and so is its function
    model: PathLike | Sequence[PathLike],
    out: PathLike = ".",
    *,
    compiler: str = "auto",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    min_runtime: int | None = None,
    all_partitions: bool = False,
    segments: int = 1,
    attempts: int = DEFAULT_ATTEMPTS,
    cache: PathLike | None = None,
    resume: bool = True,
    progress: Progress = SILENT,
) -> Compilation:
    """Run the real Edge TPU compiler on an int8 model, and try what may help where it fails.

    Args:
        model: Full-integer `.tflite` file; several are compiled together to share one chip's memory.
        out: Folder for ``<stem>_edgetpu.tflite`` and its log.
        compiler: "auto", a path, "docker:IMAGE", "podman:IMAGE" or "ssh:[USER@]HOST".
        timeout_s: Longest run of the compiler in seconds.
        min_runtime: Oldest Edge TPU runtime that must run the result, 10 to 14.
        all_partitions: Map every part of the model that can be mapped, not only the first.
        segments: Into how many files to split the model, for as many Edge TPUs.
        attempts: Most runs of the compiler; 1 for the plain one alone.
        cache: Folder of remembered results; by default the user's cache folder.
        resume: Take results of earlier runs from the cache.
        progress: Told about every attempt.

    Returns:
        The result and all attempts; a failed compilation is a result too.

    Raises:
        CompilerError: There is no compiler, or it cannot be reached or started.
        CoralsmithError: A model or an option cannot be used, or the result cannot be written.
    """
    models = [_path(model)] if isinstance(model, (str, Path)) else [_path(one) for one in model]
    found = find_compiler(compiler)
    if found is None:
        where = f"Where one is (x86-64 Linux): {manual_command(models[0])}\n" if models else ""
        raise CompilerError(
            "There is no edgetpu_compiler on this machine.",
            hint=f"{where}  `coralsmith doctor` tells how to reach one from here.",
        )
    folder = default_cache_folder() if cache is None else _path(cache)
    return compile_model(
        models,
        found,
        _path(out),
        options=CompilerOptions(min_runtime, all_partitions, segments=segments),
        timeout_s=timeout_s,
        attempts=attempts,
        cache=folder if resume else None,
        verifier=prove_origin,
        progress=progress,
    )


def find_head(
    model: PathLike,
    images: PathLike | None = None,
    *,
    head: PathLike | None = None,
    labels: PathLike | None = None,
    trust: bool = False,
    input_size: tuple[int, int] | str | None = None,
    factory: str | None = None,
    progress: Progress = SILENT,
) -> DetectionHead:
    """The detection head of a model: given, carried by the source, beside it, or recognised on images.

    Raises:
        DetectionHeadError: No head is known, several are possible, or it does not belong to the model.
    """
    return examine_head(
        _path(model),
        None if images is None else _path(images),
        head=None if head is None else _path(head),
        labels=None if labels is None else _path(labels),
        trust=trust,
        input_size=input_size,
        factory=factory,
        progress=progress,
    ).head


def detect(
    model: PathLike,
    images: Sequence[PathLike],
    *,
    head: PathLike | None = None,
    min_score: float | None = None,
    class_scores: Mapping[str, float] | None = None,
    per_class: bool = True,
    device: str = "auto",
    draw: PathLike | None = None,
    coco_results: PathLike | None = None,
    progress: Progress = SILENT,
) -> dict[str, list[DetectionRecord]]:
    """Detect objects in images and videos, and draw the boxes.

    Args:
        model: `.tflite` model: float, int8, or compiled for the Edge TPU.
        images: Images, folders of images, or video files (extra `video`).
        head: Head file; one beside the model is found by itself.
        min_score: Lowest score kept; 0.3 by default, and the head's own limit for COCO results.
        class_scores: Lowest scores of single classes, by label.
        per_class: Suppress overlaps within each class; else among all.
        device: Where a compiled model runs: "auto", "usb", "pci", "usb:1", ...
        draw: Folder for a drawn copy of each image and video; made if need be.
        coco_results: File for the detections as COCO results.
        progress: Told about every image.

    Returns:
        The detections of each image, by its path, of a video by path, "#" and the number of the frame; boxes are
        normalised to the image.

    Raises:
        CoralsmithError: The model, its head or all of the images cannot be used.
    """
    choices = DetectionChoices(
        head=None if head is None else _path(head),
        min_score=min_score,
        class_scores=class_scores or {},
        per_class=per_class,
        device=device,
        draw=None if draw is None else _path(draw),
        coco_results=None if coco_results is None else _path(coco_results),
    )
    return detect_images(_path(model), [_path(image) for image in images], choices, progress)


def drawn_views(run: Conversion) -> Iterator[tuple[str, Image.Image | None, Image.Image]]:
    """Images with the detections of the float model (where there is one) and of the int8 model drawn in."""
    if run.comparison is None or run.head is None:
        return
    labels = run.head.labels
    for view in run.comparison.views:
        reference = None if view.reference is None else draw_detections(view.image, view.reference, labels)
        yield view.name, reference, draw_detections(view.image, view.quantized, labels)


def encode_jpeg(picture: Image.Image) -> bytes:
    """A picture as a JPEG file, scaled down to at most `LARGEST_PICTURE` pixels a side."""
    smaller = picture.copy()
    smaller.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    stream = io.BytesIO()
    smaller.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _path(path: PathLike) -> Path:
    return Path(path).expanduser()
