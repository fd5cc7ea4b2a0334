"""Tries until a model compiles: again, for a later runtime, in part, in several partitions; each try is recorded.

Versions up to 15 fail at random, and every version breaks down on some models that compile in part. What may help
after which failure stands in `messages.json`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from coralsmith.compat.check import check_graph
from coralsmith.compiler.attempts import Step, Trial, best, record
from coralsmith.compiler.cache import CompilationCache
from coralsmith.compiler.cuts import Bisection, count_before
from coralsmith.compiler.explain import remedies
from coralsmith.compiler.options import FIRST_WITH_SEARCH, CompilerOptions
from coralsmith.compiler.outcome import Outcome
from coralsmith.compiler.single import Request
from coralsmith.errors import CoralsmithError
from coralsmith.graph.model import Graph
from coralsmith.progress import Progress

DEFAULT_ATTEMPTS: Final = 24

# The same input failed twice and compiled on the third run (google-coral/edgetpu #211).
_RUNS_OF_THE_SAME: Final = 3

# Signed int8 needs 12 (google-coral/edgetpu #222); 13 was seen to work.
_RUNTIME_FOR_INT8: Final = 13

_SEARCH_STEPS: Final = 16

_TOO_SMALL: Final = "nothing-mapped"


@dataclass(frozen=True)
class Tried:
    """What came of trying.

    Attributes:
        trials: All attempts, in order.
        chosen: The best; None where none succeeded.
        suspects: Names of the operators of which one keeps the whole from compiling; empty where not known.
    """

    trials: tuple[Trial, ...]
    chosen: Trial | None
    suspects: tuple[str, ...] = ()


def try_to_compile(
    request: Request,
    run: Callable[[Request], Outcome],
    cache: CompilationCache,
    version: int,
    *,
    most_attempts: int,
    progress: Progress,
) -> Tried:
    """Compile, and where that fails walk through what may help.

    Args:
        request: What is to be compiled.
        run: Runs the compiler once.
        cache: Remembers earlier runs.
        version: The compiler's major version.
        most_attempts: Most runs of the compiler; 1 for nothing but the plain one.
        progress: Told about every attempt.

    Returns:
        All attempts and the best.
    """
    trying = _Trying(request, run, cache, version, most_attempts, progress)
    trying.walk()
    chosen = best(trying.trials, many_partitions=request.options.subgraphs)
    return Tried(tuple(trying.trials), chosen, trying.suspects)


@dataclass
class _Trying:
    request: Request
    run: Callable[[Request], Outcome]
    cache: CompilationCache
    version: int
    most_attempts: int
    progress: Progress
    trials: list[Trial] = field(default_factory=list)
    suspects: tuple[str, ...] = ()

    def walk(self) -> None:
        options = self.request.options
        plain = self._try("plain", options)
        if plain is None or plain.attempt.succeeded:
            return
        help_ = remedies(plain.attempt.failure)
        if "min-runtime" in help_ and self._runtime_may_help(plain.outcome):
            self._try("min-runtime", dataclasses.replace(options, min_runtime=_RUNTIME_FOR_INT8))
        (graph, *others) = self.request.graphs
        if others or graph is None or options.segments > 1:  # no part of these can be compiled alone
            return
        bisection = Bisection(graph, _first_mapped(graph), len(graph.ops))
        if "search" in help_ and self.version >= FIRST_WITH_SEARCH:
            self._search(graph, bisection)
        if "cut" in help_:
            self._bisect(bisection)
        if "subgraphs" in help_ and not self._has_success() and not options.subgraphs:
            self._several_partitions(graph)

    def _search(self, graph: Graph, bisection: Bisection) -> None:
        step = max(1, len(graph.ops) // _SEARCH_STEPS)
        trial = self._try("search", dataclasses.replace(self.request.options, search_step=step))
        if trial is None or not trial.attempt.succeeded:
            return
        result = trial.outcome.result
        count = count_before(graph, result.intermediate_tensors) or result.attempted_operations
        if count is not None and bisection.low < count < bisection.high:
            bisection.low = count
            bisection.high = min(bisection.high, count + step)

    def _bisect(self, bisection: Bisection) -> None:
        while self._may_go_on and (cut := bisection.next_cut()) is not None:
            count, names = cut
            trial = self._try("cut", dataclasses.replace(self.request.options, cut=names), operators=count)
            if trial is None:
                return
            too_small = trial.attempt.failure == _TOO_SMALL
            bisection.note(count, compiles=trial.attempt.succeeded or too_small)
        if bisection.next_cut() is None and self._has_success():  # else it may not be the model's fault at all
            self.suspects = bisection.suspects

    def _several_partitions(self, graph: Graph) -> None:
        options = dataclasses.replace(self.request.options, subgraphs=True)
        trial = self._try("subgraphs", options)
        if trial is not None and not trial.attempt.succeeded and self.version >= FIRST_WITH_SEARCH:
            step = max(1, len(graph.ops) // _SEARCH_STEPS)
            self._try("subgraphs", dataclasses.replace(options, search_step=step))

    def _try(self, step: Step, options: CompilerOptions, *, operators: int | None = None) -> Trial | None:
        """Run the compiler, and again where such a failure was seen to be random; None where no run is left."""
        trial: Trial | None = None
        for repetition in range(_RUNS_OF_THE_SAME):
            if not self._may_go_on:
                break
            trial = self._run_once(step, repetition, options, operators)
            if trial.attempt.succeeded or "again" not in remedies(trial.attempt.failure):
                break
        return trial

    def _run_once(self, step: Step, repetition: int, options: CompilerOptions, operators: int | None) -> Trial:
        request = dataclasses.replace(self.request, options=options)
        outcome = self.cache.load(request)
        remembered = outcome is not None
        if outcome is None:
            outcome = self.run(request)
            self.cache.store(request, outcome)
        arguments = options.arguments(request.names, request.timeout_s, self.version)
        trial = record(step, repetition, arguments, outcome, operators=operators, remembered=remembered)
        self.trials.append(trial)
        self._tell(trial)
        return trial

    @property
    def _may_go_on(self) -> bool:
        return len(self.trials) < self.most_attempts

    def _has_success(self) -> bool:
        return any(trial.attempt.succeeded for trial in self.trials)

    def _tell(self, trial: Trial) -> None:
        attempt = trial.attempt
        end = f"{attempt.mapped} operators on the Edge TPU" if attempt.succeeded else attempt.failure
        self.progress.note(f"attempt {len(self.trials)}, {attempt.title}: {end}")

    def _runtime_may_help(self, outcome: Outcome) -> bool:
        asked = self.request.options.min_runtime
        is_old = self.version < FIRST_WITH_SEARCH if asked is None else asked < _RUNTIME_FOR_INT8
        return is_old and any("data type" in row.status for row in outcome.result.operations)


def _first_mapped(graph: Graph) -> int:
    """How many operators in front are sure to stay on the CPU, so that no cut among them can compile."""
    try:
        fates = check_graph(graph).ops
    except CoralsmithError:
        return 0
    return next((fate.index for fate in fates if fate.target != "cpu"), 0)
