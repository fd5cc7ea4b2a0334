"""The corridor: a trained detector goes in, a verified int8 Edge TPU model and its report come out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.cached_stages import cached_fine_tuning, cached_import, cached_quantization, import_key
from coralsmith.comparison import Comparison, check_operator, compare_detections
from coralsmith.compat.check import check_graph
from coralsmith.compat.report import CheckReport
from coralsmith.compiler.cache import default_cache_folder
from coralsmith.compiler.locate import reachable_compiler
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.proof import prove_origin
from coralsmith.compiler.run import Compilation, compile_model
from coralsmith.conversion_accuracy import ConversionAccuracy
from coralsmith.detection.box_order import in_operator_order
from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.detection.head_choice import HEAD_FILE, NO_HEAD, choose_head, with_plain_names
from coralsmith.detection.images import ImageFolder, find_images, readable_sample, sample
from coralsmith.detection.input_convention import conventional_input
from coralsmith.detection.labels import write_labels
from coralsmith.detection.normalisation import MAX_IMAGES, check_normalisation
from coralsmith.detection.postprocess_op import (
    append_score_activation,
    attach_postprocess_op,
    find_postprocess_op,
)
from coralsmith.detection.preprocess import resize_image
from coralsmith.errors import DetectionHeadError, UsageError
from coralsmith.findings import Finding, has_errors
from coralsmith.graph import Array, Graph
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize
from coralsmith.head_of_model import RECOGNITION_IMAGES, check_given_head, require_probabilities
from coralsmith.importers import import_model
from coralsmith.importers.imported import Imported
from coralsmith.importers.source_files import resolve_source, source_digest
from coralsmith.job import Job
from coralsmith.model_input import NormalisedImages, image_size
from coralsmith.output_folder import REPORT_FILE, OutputFolder
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.attribution import Attribution, attribute_error
from coralsmith.quantization.boundary import set_input_type, set_output_type
from coralsmith.quantization.explanation import Explanation, explain
from coralsmith.quantization.fidelity import Fidelity, measure_fidelity
from coralsmith.quantization.quantizer import Quantized
from coralsmith.repair.driver import RepairResult, repair
from coralsmith.rungs import CORRECTED, PLAIN, TUNED, Rung, Task
from coralsmith.stages import Stopwatch

TRAINING_STATE: Final = "tuning.pt"
LABEL_FILE: Final = "labels.txt"
_RUNGS: Final = {None: PLAIN, "float": CORRECTED, "int8": TUNED}
VERIFICATION_IMAGES: Final = 4
AGREEMENT_IMAGES: Final = 24
SHOWN_IMAGES: Final = 6


class Conversion:
    """One run through the corridor; the attributes fill from top to bottom as `run` walks its stages."""

    imported: Imported
    repaired: RepairResult
    float_graph: Graph | None
    final: Graph
    check: CheckReport
    int8_path: Path

    def __init__(self, job: Job, progress: Progress = SILENT) -> None:
        self.job = job
        self.recipe = job.recipe
        self.progress = progress
        self.watch = Stopwatch(progress)
        self.accuracy = ConversionAccuracy(job.dataset, job.split, job.recipe, job.name, progress)
        self.compiler, unusable = reachable_compiler(job.recipe.compiler)
        self.paths = [] if job.images is None else find_images(job.images)
        self.folder = OutputFolder(job.out or Path(f"{job.name}-edgetpu"), force=job.force, resume=job.resume)
        self.findings: list[Finding] = [] if unusable is None else [unusable]
        self.head: DetectionHead | None = None
        self.images: ImageFolder | None = None
        self.quantized: Quantized | None = None
        self._results: dict[str, tuple[Quantized, bool]] = {}
        self.fidelity: Fidelity | None = None
        self.explanation: Explanation | None = None
        self.attribution: Attribution | None = None
        self.comparison: Comparison | None = None
        self.compilation: Compilation | None = None

    def run(self) -> None:
        """Walk all stages.

        Raises:
            CoralsmithError: A stage cannot do its work; what was written so far is whole.
        """
        try:
            self._walk()
        finally:
            self.folder.remove_if_unused()

    def _walk(self) -> None:
        if self.accuracy.is_wanted:
            with self.watch.stage("Read the labelled images"):
                self.paths, findings = self.accuracy.set_apart(self.paths)
                self.findings += findings
        with self.watch.stage("Read the model"):
            self._import()
        with self.watch.stage("Understand the detection head"):
            self._choose_head()
            self.accuracy.require_measurable(self.imported, self.head)
        with self.watch.stage("Repair for the Edge TPU"):
            self._repair()
        if self.job.tune == "float" and self.float_graph is not None:
            with self.watch.stage("Train the float model"):
                self._fine_tune()
        with self.watch.stage("Quantize to int8", len(self.images.paths) if self.images else None):
            self._quantize()
        with self.watch.stage("Check against the Edge TPU"):
            self._check()
        with self.watch.stage("Compare int8 with float", self._comparison_steps()):
            self._compare()
        if self.recipe.explain and self.quantized is not None:
            source = self.quantized.source
            with self.watch.stage("Explain the error of int8", len(source.ops)):
                self.attribution = attribute_error(source, self.final, self._pairs(), self.progress)
        if self.accuracy.is_wanted and self.head is not None:
            with self.watch.stage("Measure accuracy"):
                self.findings += self.accuracy.measure(self.final, self.float_graph, self.head, self.imported)
        with self.watch.stage("Write the models"):
            self._write()
        if self.compiler is not None and not has_errors(self.findings):
            with self.watch.stage("Compile for the Edge TPU"):
                self._compile()
        compiled = None if self.compilation is None else self.compilation.model
        if compiled is not None and self.accuracy.is_wanted and self.head is not None:
            with self.watch.stage("Measure accuracy on the Edge TPU"):
                self.findings += self.accuracy.measure_compiled(compiled, self.head)

    # Stages, in order.

    def _import(self) -> None:
        chosen = sample(self.paths, VERIFICATION_IMAGES, self.recipe.seed)
        key = import_key(source_digest(resolve_source(self.job.source)), chosen, self.recipe)

        def compute() -> Imported:
            images = readable_sample(self.paths, VERIFICATION_IMAGES, self.recipe.seed)
            return import_model(
                self.job.source,
                trust=self.recipe.trust,
                images=images,
                input_size=self.recipe.input_size,
                factory=self.recipe.factory,
                progress=self.progress,
            )

        self.imported, resumed = cached_import(self.folder.cache, key, compute)
        self._note(resumed)
        self.findings += self.imported.findings
        if self.job.tune and self.imported.is_quantized:
            raise UsageError(
                "The source is quantized already: there is no float model to train, or to follow.",
                hint="Give the float model that it was made from.",
            )
        if not self.paths and not self.imported.is_quantized:
            raise UsageError(
                "A float model needs images to be quantized with.",
                hint="Give a folder of typical photos with --images; they need no labels.",
            )

    def _choose_head(self) -> None:
        graph = self.imported.graph
        size = image_size(graph)
        photos = readable_sample(self.paths, RECOGNITION_IMAGES, self.recipe.seed)
        probes = [] if size is None else [resize_image(photo, size) for photo in photos]
        try:
            self.head = choose_head(
                graph,
                self.job.source,
                carried=self.imported.head,
                head_file=self.job.head,
                labels_file=self.job.labels,
                images=probes,
                hints=self.imported.hints,
            )
        except DetectionHeadError as error:
            if self.job.head is not None:
                raise
            if self.recipe.postprocess != "none":
                way_out = "To convert without a detection head: --postprocess none."
                hint = f"{error.hint} {way_out}".strip()
                raise DetectionHeadError(error.message, hint, error.evidence) from error
            self.findings.append(NO_HEAD)
        if self.paths and size is not None:
            resize = self.head.input.resize if self.head else "stretch"
            self.images = ImageFolder(self.paths, size, resize, self.recipe.samples, self.recipe.seed)
        if self.job.training is not None:
            self.job.training.require_known(self.head)
        if self.head is not None:
            self.findings += check_given_head(self.imported, self.head, self.job.source, self.job.head, probes)
        if self.head is not None and self.images is not None and not self.imported.is_quantized:
            self.findings += check_normalisation(graph, self.head, self._resized(MAX_IMAGES))

    def _repair(self) -> None:
        graph = self.imported.graph
        if self.head is not None and not self.imported.is_quantized and self._wants_operator():
            graph, self.head = in_operator_order(graph, self.head)
        inputs = [] if self.imported.is_quantized else list(self._real_inputs(VERIFICATION_IMAGES))
        mode = "off" if self.imported.is_quantized else self.recipe.repair
        self.repaired = repair(
            graph,
            mode,
            inputs=[[image] for image in inputs] or None,
            min_runtime=self.recipe.min_runtime,
            used_outputs=None if self.head is None else {self.head.boxes, self.head.scores},
        )
        self.findings += self.repaired.findings
        if self.imported.is_quantized:
            self.float_graph = None
            return
        graph = self.repaired.graph
        if self.head is not None:
            graph, self.head = with_plain_names(graph, self.head)
        if self.head is not None and self._wants_operator():
            graph, self.head = append_score_activation(graph, self.head)
        self.float_graph = graph

    def _fine_tune(self) -> None:
        self.float_graph, findings, resumed = cached_fine_tuning(self.folder.cache, self._task())
        self._note(resumed)
        self.findings += findings

    def _quantize(self) -> None:
        if self.float_graph is None:
            self.final = self.repaired.graph
            return
        if self.job.tune or self.recipe.max_ap_drop is None or self.head is None:
            self.quantized = self._by(_RUNGS[self.job.tune])
        else:
            self.quantized, findings = self.accuracy.quantize(
                self._by, self._finished, self.float_graph, self.head
            )
            self.findings += findings
        self.findings += self.quantized.findings
        if self.head is not None:
            require_probabilities(self.head, self.quantized.ranges[self.head.scores])
        self.final = self._finished(self.quantized)

    def _by(self, rung: Rung) -> Quantized:
        result, resumed = self._result_of(rung)
        self._note(resumed)
        return result

    def _result_of(self, rung: Rung) -> tuple[Quantized, bool]:
        """What one way to quantize gives, computed once, and whether it came from an earlier run."""
        if rung.name not in self._results:
            self._results[rung.name] = cached_quantization(
                self.folder.cache, self._task(), rung, lambda start: self._result_of(start)[0]
            )
        return self._results[rung.name]

    def _task(self) -> Task:
        graph, images = self.float_graph, self.images
        assert graph is not None and images is not None, "a float model was only let through with images"
        inputs = NormalisedImages(images, self._input_spec())
        state = self.folder.cache.file(TRAINING_STATE)
        return Task(graph, self.head, inputs, self.recipe, self.progress, state, self.job.training)

    def _finished(self, quantized: Quantized) -> Graph:
        """The int8 graph as it is delivered: its outer types as asked, or the detection operator at its end."""
        final = self._with_asked_input(quantized)
        if self.head is not None and self._wants_operator():
            return attach_postprocess_op(final, self.head)
        set_output_type(final, self.recipe.io)
        return final

    def _with_asked_input(self, quantized: Quantized) -> Graph:
        graph = quantized.graph.copy()
        set_input_type(graph, self.recipe.io)
        return graph

    def _check(self) -> None:
        written = parse_tflite(serialize(self.final))  # what the compiler will read, not what was read
        self.check = check_graph(
            written, model=f"{self.job.name}_int8.tflite", min_runtime=self.recipe.min_runtime
        )
        self.findings += self.check.findings

    def _compare(self) -> None:
        if self.quantized is not None and self.images is not None:
            source, pairs = self.quantized.source, list(self._pairs())
            self.fidelity = measure_fidelity(source, self.final, pairs)
            self.explanation = explain(source, self.final, self.head, pairs, self.fidelity)
        if self.head is not None and self.quantized is not None and self._wants_operator():
            probes = list(self._resized(VERIFICATION_IMAGES))
            raw = self._with_asked_input(self.quantized)
            self.findings += check_operator(raw, self.final, self.head, probes)
        if self.head is not None and self.paths:
            chosen = sample(self.paths, AGREEMENT_IMAGES, self.recipe.seed)
            self.comparison = compare_detections(
                self.float_graph, self.final, self.head, chosen, views=SHOWN_IMAGES, progress=self.progress
            )

    def _write(self) -> None:
        name = self.job.name
        compiled = f"{name}_int8_edgetpu"
        self.folder.discard(f"{compiled}.tflite", f"{compiled}.log", REPORT_FILE, "report.html")
        if self.float_graph is not None:
            self.folder.write(f"{name}_float.tflite", serialize(self.float_graph))
        self.int8_path = self.folder.write(f"{name}_int8.tflite", serialize(self.final))
        if self.head is not None:
            self.head.save(self.folder.path / HEAD_FILE)
            self.folder.adopt(self.folder.path / HEAD_FILE)
            write_labels(self.folder.path / LABEL_FILE, self.head.labels)
            self.folder.adopt(self.folder.path / LABEL_FILE)

    def _compile(self) -> None:
        assert self.compiler is not None, "only called with a compiler"
        runtime = None if self.recipe.min_runtime == 14 else self.recipe.min_runtime
        self.compilation = compile_model(
            self.int8_path,
            self.compiler,
            self.folder.path,
            options=CompilerOptions(min_runtime=runtime),
            timeout_s=self.recipe.compiler_timeout_s,
            attempts=self.recipe.compiler_attempts,
            verifier=prove_origin,
            cache=default_cache_folder() if self.job.resume and not self.job.force else None,
            progress=self.progress,
        )
        if any(attempt.remembered and attempt.chosen for attempt in self.compilation.attempts):
            self._note(resumed=True)
        self.findings += self.compilation.findings
        for path in (self.compilation.model, self.compilation.log):
            if path is not None:
                self.folder.adopt(path)

    # What several stages need.

    def _note(self, resumed: bool) -> None:
        if resumed:
            self.watch.resumed()
            self.progress.note("taken from the earlier run")

    def _wants_operator(self) -> bool:
        """Whether the detection operator is to be attached by this run."""
        if self.recipe.postprocess == "none" or find_postprocess_op(self.imported.graph) is not None:
            return False
        expressible = self.head is not None and self.head.score.activation in ("sigmoid", "none")
        return self.recipe.postprocess == "op" or expressible

    def _input_spec(self) -> InputSpec:
        """How pixels become the model's input: by its head, or as MobileNet does it."""
        if self.head is not None:
            return self.head.input
        return conventional_input(self.imported.graph)[0]

    def _resized(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """Some of the images as the model's input takes them."""
        spec = self._input_spec()
        for image in readable_sample(self.paths, count, self.recipe.seed):
            yield resize_image(image, spec.size, spec.resize)

    def _real_inputs(self, count: int) -> Iterator[Array]:
        for pixels in self._resized(count):
            yield self._input_spec().normalise(pixels[None])

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        """The same image as the float model and as the int8 model take it."""
        spec = self._input_spec()
        for pixels in self._resized(VERIFICATION_IMAGES):
            yield spec.normalise(pixels[None]), model_input(self.final.inputs[0], pixels[None], spec)

    def _comparison_steps(self) -> int | None:
        return min(len(self.paths), AGREEMENT_IMAGES) if self.head is not None and self.paths else None
