"""A stand-in compiler inside the test's own process, that breaks down on chosen operators; it compiles nothing.

It tests how attempts are planned. What it hands out is the model with its first operators replaced by a package of
a published pair, which belongs to another model: no figure may come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coralsmith.compiled.package import CUSTOM_OPERATOR, is_edgetpu_operator
from coralsmith.compiler.cuts import cut_tensors
from coralsmith.compiler.log import parse_blocks
from coralsmith.compiler.place import OUTPUT_FOLDER, Execution, Identity
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import serialize_for_interpreter

STRANDED = "More than one subgraph is not supported"
FAILURE = "Compilation failed: Compilation failed due to large activation tensors in model.\n"


@dataclass
class BreakingStandIn:
    """Fails on every model, or part of one, that holds an operator of a name in `breaks`.

    Attributes:
        package: Options of an Edge TPU custom operator.
        breaks: Names of operators on which it breaks down.
        version: What it calls itself.
        failure: What it says then.
        before: Called before each run with its number; gives exit code and text of another end, or None.
        runs: The arguments of every run.
    """

    package: bytes
    breaks: frozenset[str] = frozenset()
    version: str = "16.0.384591198"
    failure: str = FAILURE
    before: Callable[[int], tuple[int, str] | None] = lambda number: None
    runs: list[list[str]] = field(default_factory=list)
    found_by: str = "option"
    name: str = "stand-in"

    @property
    def identity(self) -> Identity:
        return Identity(self.version, "stand-in")

    def execute(self, folder: Path, arguments: Sequence[str], timeout_s: float) -> Execution:
        number = len(self.runs)
        self.runs.append(list(arguments))
        special = self.before(number)
        code, text = special if special is not None else self._compile(folder, list(arguments))
        text = f"Edge TPU Compiler version {self.version}\n{text}"
        return Execution(("stand-in", *arguments), code, text, "", tuple(parse_blocks(text)), 0.5)

    def _compile(self, folder: Path, arguments: list[str]) -> tuple[int, str]:
        graph = read_tflite(folder / arguments[-1])
        if "-i" in arguments:
            count = self._count(graph, arguments[arguments.index("-i") + 1])
            return self._part(folder, graph, count)
        if "-d" in arguments:
            return self._search(folder, graph, int(arguments[arguments.index("--delegate_search_step") + 1]))
        if "-a" in arguments and self.breaks:
            return self._around(folder, graph)
        return self._part(folder, graph, len(graph.ops))

    def _count(self, graph: Graph, cut: str) -> int:
        return next(n for n in range(1, len(graph.ops)) if ",".join(cut_tensors(graph, n) or ()) == cut)

    def _part(self, folder: Path, graph: Graph, count: int) -> tuple[int, str]:
        if any(op.name in self.breaks for op in graph.ops[:count]):
            return 1, f"{self.failure}Compilation failed! \n"
        return self.hand_out(folder, graph, [(0, count)])

    def _search(self, folder: Path, graph: Graph, step: int) -> tuple[int, str]:
        text = f"Searching for valid delegate with step {step}\n"
        for count in range(len(graph.ops), 0, -step):
            text += f"Try to compile segment with {count} ops\n"
            if count < len(graph.ops):
                text += f"Intermediate tensors: {','.join(cut_tensors(graph, count) or ())}\n"
            code, said = self._part(folder, graph, count)
            text += said
            if code == 0:
                return 0, text
        return 1, text

    def _around(self, folder: Path, graph: Graph) -> tuple[int, str]:
        """Everything but the operators that break it, in several partitions."""
        (index,) = [i for i, op in enumerate(graph.ops) if op.name in self.breaks]
        return self.hand_out(folder, graph, [(0, index), (index + 1, len(graph.ops))])

    def hand_out(self, folder: Path, graph: Graph, spans: list[tuple[int, int]]) -> tuple[int, str]:
        spans = [span for span in spans if span[0] < span[1]]
        content = serialize_for_interpreter(with_packages(graph, spans, self.package))[0]
        (folder / OUTPUT_FOLDER / "model_edgetpu.tflite").write_bytes(content)
        mapped = sum(end - start for start, end in spans)
        rows = [("CONV_2D", mapped, MAPPED), ("CONV_2D", len(graph.ops) - mapped, STRANDED)]
        table = "".join(f"{kind:<31}{count:<11}{status}\n" for kind, count, status in rows if count)
        return 0, (
            "\nModel compiled successfully in 12 ms.\n\nInput model: model.tflite\n"
            "On-chip memory used for caching model parameters: 66.00KiB\n"
            f"Number of Edge TPU subgraphs: {len(spans)}\nTotal number of operations: {len(graph.ops)}\n\n"
            f"Operator                       Count      Status\n\n{table}Compilation succeeded! \n"
        )


def with_packages(graph: Graph, spans: Sequence[tuple[int, int]], package: bytes) -> Graph:
    """The graph with each span of operators replaced by one custom operator."""
    copy = graph.copy()
    ops, position = [], 0
    for start, end in spans:
        ops += copy.ops[position:start]
        ops.append(_custom(copy, copy.ops[start:end], package))
        position = end
    return Graph([*ops, *copy.ops[position:]], copy.inputs, copy.outputs)


def _custom(graph: Graph, members: list[Op], package: bytes) -> Op:
    made = [tensor for op in members for tensor in op.outputs]
    outside = [op for op in graph.ops if op not in members]
    read = {tensor for op in outside for tensor in op.inputs} | set(graph.outputs)
    inputs = dict.fromkeys(
        tensor
        for op in members
        for tensor in op.inputs
        if tensor and not tensor.is_constant and tensor not in made
    )
    outputs = [tensor for tensor in made if tensor in read]
    return Op("CUSTOM", list(inputs), outputs, custom_code=CUSTOM_OPERATOR, custom_options=package)


def package_of(compiled: Path) -> bytes:
    """The options of the first Edge TPU custom operator of a compiled model."""
    return next(op.custom_options for op in read_tflite(compiled).ops if is_edgetpu_operator(op))
