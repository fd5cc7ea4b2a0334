"""Applies passes to a graph, and keeps of each only what the interpreter proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.repair.advice import disproof, unfinished, unproved
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.samples import Difference, Samples

MAX_ROUNDS: Final = 12


class Workbench:
    """The graph as far as it is repaired, and the account of the passes.

    Args:
        graph: The graph to start from; passes work on copies of it.
        samples: The inputs that every change is proved on.

    Raises:
        UnsupportedModelError: The interpreter cannot run the graph, so that nothing could be proved.

    Attributes:
        graph: The graph after every pass that was proved.
        changes: What these passes changed, with the measured difference.
        refused: What the passes of the last round left alone.
        findings: The passes that were dropped.
    """

    def __init__(self, graph: Graph, samples: Samples) -> None:
        self.graph = graph
        self.samples = samples
        self._original = self._outputs = samples.outputs(graph)
        self._spare: Graph | None = None
        self.changes: list[Change] = []
        self.refused: list[Refusal] = []
        self.findings: list[Finding] = []

    def run(self, passes: Sequence[RepairPass]) -> None:
        """Apply the passes round after round until none changes anything; a pass that fails its proof goes."""
        remaining = list(passes)
        for _ in range(MAX_ROUNDS):
            self.refused = []
            verdicts = {repair_pass: self.attempt(repair_pass) for repair_pass in remaining}
            remaining = [repair_pass for repair_pass in remaining if verdicts[repair_pass] != "disproved"]
            if "changed" not in verdicts.values():
                return
        self.findings.append(unfinished(MAX_ROUNDS))

    def attempt(self, repair_pass: RepairPass) -> Literal["changed", "unchanged", "disproved"]:
        """Apply one pass to a copy, and keep the copy if the graph is valid and the outputs are proved."""
        candidate = self._spare or self.graph.copy()
        outcomes = repair_pass.apply(candidate)
        changes = [outcome for outcome in outcomes if isinstance(outcome, Change)]
        self.refused.extend(outcome for outcome in outcomes if isinstance(outcome, Refusal))
        self._spare = None if changes else candidate  # a pass without changes has left its copy as it was
        if not changes:
            return "unchanged"
        candidate.verify(repair_pass.name)
        try:
            outputs = self.samples.outputs(candidate)
            difference = Difference.between(self._outputs, outputs)
            obstacle = disproof(repair_pass, difference)
        except UnsupportedModelError as error:
            obstacle = error.message
        if obstacle:
            self.findings.append(unproved(repair_pass, obstacle))
            return "disproved"
        self.graph, self._outputs = candidate, outputs
        self.changes.extend(_measured(change, difference) for change in changes)
        return "changed"

    def refuse(self, passes: Sequence[RepairPass], condition: str) -> None:
        """Record what these passes would change, and the condition on which they would."""
        for repair_pass in passes:
            for outcome in repair_pass.apply(self.graph.copy()):
                if isinstance(outcome, Change):
                    reason = f"{condition}: {outcome.reason}"
                    self.refused.append(Refusal(repair_pass.name, outcome.before[-1], reason))

    def total_difference(self) -> Difference:
        """The final outputs against the original ones."""
        return Difference.between(self._original, self._outputs)


def _measured(change: Change, difference: Difference) -> Change:
    sqnr = None if change.exact or difference.worst == 0.0 else difference.sqnr
    return replace(change, worst_difference=difference.worst, sqnr=sqnr)
