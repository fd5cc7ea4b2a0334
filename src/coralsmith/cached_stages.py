"""The slow stages, import, training and quantization, with their results kept for a later run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from coralsmith import __version__
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.hints import HeadHints
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.importers.imported import Imported, SourceInfo, Verification
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import Quantized
from coralsmith.quantization.trial import Trial
from coralsmith.recipe import Recipe
from coralsmith.report.plain import to_document, to_json
from coralsmith.rungs import Rung, Task, distinct, fine_tune
from coralsmith.stages import StageCache, digest, file_digest


@dataclass(frozen=True)
class _ImportRecord:
    source: SourceInfo
    findings: list[Finding]
    verification: Verification | None
    hints: HeadHints


@dataclass(frozen=True)
class _QuantizationRecord:
    images: int
    ranges: dict[str, tuple[float, float]]
    findings: list[Finding]
    options: QuantizationOptions
    trials: tuple[Trial, ...]


def import_key(source_sha256: str, sample_images: list[Path], recipe: Recipe) -> str:
    """What the import depends on."""
    choices = (recipe.trust, recipe.input_size, recipe.factory)
    return digest(__version__, source_sha256, [file_digest(path) for path in sample_images], *choices)


def quantization_key(task: Task) -> str:
    """What post-training quantization depends on: the model, the images, and the choices that it looks at."""
    images = task.inputs.images
    hashes = [file_digest(path) for path in images.paths]
    content = serialize_for_interpreter(task.graph)[0]
    choices = task.recipe.quantization, asdict(task.options)
    return digest(__version__, content, hashes, images.size, asdict(task.inputs.spec), choices)


def training_key(task: Task) -> str:
    """What a training depends on: all that post-training quantization does, the head, the labels, more choices."""
    chosen = task.recipe.model_dump()
    choices = {name: value for name, value in chosen.items() if name.startswith("tuning_") or name == "seed"}
    head = None if task.head is None else to_document(task.head.to_json())
    labels = None if task.training is None else task.training.digest()
    return digest(quantization_key(task), choices, head, labels)


def cached_import(cache: StageCache, key: str, compute: Callable[[], Imported]) -> tuple[Imported, bool]:
    """The imported model, and whether it came from the cache."""
    files = cache.load("import", key)
    if files is not None:
        return _read_import(files), True
    imported = compute()
    record = _ImportRecord(imported.source, imported.findings, imported.verification, imported.hints)
    files = {"graph.tflite": serialize_for_interpreter(imported.graph)[0], "import.json": to_json(record).encode()}
    if imported.head is not None:
        files["head.json"] = json.dumps(imported.head.to_json()).encode()
    cache.store("import", key, files)
    return imported, False


def _read_import(files: dict[str, bytes]) -> Imported:
    from pydantic import TypeAdapter

    record = TypeAdapter(_ImportRecord).validate_json(files["import.json"])
    head = DetectionHead.from_json(json.loads(files["head.json"])) if "head.json" in files else None
    graph = parse_tflite(files["graph.tflite"], "the cached import")
    return Imported(graph, head, record.source, record.findings, record.verification, record.hints)


def cached_fine_tuning(cache: StageCache, task: Task) -> tuple[Graph, list[Finding], bool]:
    """The float graph trained with labels, what is to be said of it, and whether it came from the cache."""
    from pydantic import TypeAdapter

    stage, key = "fine_tune", training_key(task)
    files = cache.load(stage, key)
    if files is not None:
        findings = TypeAdapter(list[Finding]).validate_json(files["findings.json"])
        return parse_tflite(files["graph.tflite"], "the cached float model"), findings, True
    graph, findings = fine_tune(task)
    content = {"graph.tflite": serialize_for_interpreter(graph)[0], "findings.json": to_json(findings).encode()}
    cache.store(stage, key, content)
    return graph, findings, False


def cached_quantization(
    cache: StageCache, task: Task, rung: Rung, earlier: Callable[[Rung], Quantized]
) -> tuple[Quantized, bool]:
    """The model quantized in one way, and whether it came from the cache.

    Args:
        cache: Of this output folder.
        task: What is to be quantized.
        rung: In which way.
        earlier: Gives the results that this way starts from.
    """
    from pydantic import TypeAdapter

    from coralsmith.quantization.ranges import Range

    stage = f"quantize_{rung.name}"
    key = training_key(task) if rung.starts else quantization_key(task)
    files = cache.load(stage, key)
    if files is not None:
        record = TypeAdapter(_QuantizationRecord).validate_json(files["quantization.json"])
        ranges = {name: Range(*bounds) for name, bounds in record.ranges.items()}
        graph = parse_tflite(files["int8.tflite"], "the cached model")
        source = parse_tflite(files["source.tflite"], "the cached float model")
        found = Quantized(graph, source, record.images, ranges, record.findings, record.options, record.trials)
        return found, True
    quantized = rung.quantize(task, [earlier(start) for start in distinct(rung.starts, task.recipe)])
    bounds = {name: (span.low, span.high) for name, span in quantized.ranges.items()}
    record = _QuantizationRecord(quantized.images, bounds, quantized.findings, quantized.options, quantized.trials)
    content = {
        "int8.tflite": serialize_for_interpreter(quantized.graph)[0],
        "source.tflite": serialize_for_interpreter(quantized.source)[0],
        "quantization.json": to_json(record).encode(),
    }
    cache.store(stage, key, content)
    return quantized, False
