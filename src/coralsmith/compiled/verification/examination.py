"""Looks through compiled files for everything that a source should have become there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from coralsmith.compiled.package import CompiledModel, Package
from coralsmith.compiled.program import Program
from coralsmith.compiled.verification.additions import addition
from coralsmith.compiled.verification.cpu_operators import CpuOperator, needs_cpu
from coralsmith.compiled.verification.data_order import out_of_order
from coralsmith.compiled.verification.gap_filling import place_layers
from coralsmith.compiled.verification.layer_evidence import (
    ParameterBlob,
    absent_verdict,
    in_program_order,
    on_cpu_verdict,
    placed_verdict,
)
from coralsmith.compiled.verification.ledger import Evidence, Ledger
from coralsmith.compiled.verification.other_operators import near, other_operators
from coralsmith.compiled.verification.placement import Place, gaps
from coralsmith.compiled.verification.report import (
    LayerVerdict,
    OperatorVerdict,
    ParameterAccount,
    Remainder,
)
from coralsmith.compiled.verification.source_layers import SourceLayer, is_layer, source_layers
from coralsmith.compiled.verification.verdict import UNEXPLAINED
from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.reader import MAX_FILE_BYTES

Files = Sequence[tuple[str, CompiledModel]]
"""Compiled files: their names and what is in them."""

_MOST_LAYERS: Final = 2048

_CERTAINTY: Final[Mapping[str, int]] = MappingProxyType({"unverified": 0, "mismatch": 1, "exact": 2})


class Examination:
    """Places, constants and accounts of a source in compiled files.

    Args:
        source: The source.
        compiled: The compiled files.
        on_cpu: The operators that they leave on the CPU, paired with the source's.

    Attributes:
        unexplained: For each program its file and the bundles of constants that belong to no operator.

    Raises:
        MalformedModelError: The instructions of a file cannot be those of a real model.
        UnsupportedModelError: The source has more layers than any real model.
    """

    def __init__(self, source: Graph, compiled: Files, on_cpu: Sequence[CpuOperator]) -> None:
        stayed = {op.index for op in on_cpu}
        mapped = [index for index in range(len(source.ops)) if index not in stayed]
        packages = [(file, package) for file, model in compiled for package in model.packages]
        self._source = source
        self._mapped = mapped
        self._on_cpu = on_cpu
        self._kinds = frozenset(source.ops[index].kind for index in mapped)
        self._blobs = list(_blobs(packages))
        self._layers = source_layers(source, mapped, (package.min_runtime for _, package in packages))
        if len(self._layers) > _MOST_LAYERS:
            raise UnsupportedModelError(f"The source has {len(self._layers)} layers, more than any real model.")
        self._contents = [blob.content for blob in self._blobs]
        self._placements = place_layers(self._layers, self._contents, self._addition)
        self._gaps = gaps(self._placements, self._contents)
        self._others = other_operators(source, mapped)
        self._moved = out_of_order(source, [placement for placement in self._placements if placement.is_exact])
        self.unexplained: list[tuple[str, list[int]]] = []
        self._evidence = self._settle(packages)

    def _addition(self, place: Place) -> str:
        return addition(self._contents[place.program], place.start, place.end, self._kinds)

    def _settle(self, packages: Sequence[tuple[str, Package]]) -> dict[int, Evidence]:
        """What the instructions of all programs say, by the index of the operator in the source."""
        evidence: dict[int, Evidence] = {}
        for number, (file, package) in enumerate(packages):
            main = package.main_executable
            if main is None:
                continue
            layers = in_program_order(
                self._placements, [n for n, b in enumerate(self._blobs) if b.package == number]
            )
            others = self._others
            if len(packages) > 1:
                others = near(others, [layer.op for layer in layers], self._source)
            try:
                ledger = Ledger(Program.of(main), self._source)
                found = ledger.settle(layers, others)
            except ValueError as error:
                raise MalformedModelError(f"The instructions hold {error}, more than any real model.") from error
            self.unexplained.append((file, ledger.unexplained(self._kinds)))
            for index, one in found.items():
                if index not in evidence or _CERTAINTY[one.status] > _CERTAINTY[evidence[index].status]:
                    evidence[index] = one
        return evidence

    def layers(self) -> list[LayerVerdict]:
        """The verdict on every layer, in execution order."""
        placed = {placement.layer: placement for placement in self._placements}
        absent = [layer for layer in self._layers if layer not in placed]
        exact = (placement for placement in self._placements if placement.is_exact)
        stored = {placement.layer.packed(placement.form) for placement in exact}
        verdicts = [
            placed_verdict(
                placement,
                self._blobs[placement.place.program],
                self._evidence.get(placement.layer.index),
                self._moved.get(placement.layer),
            )
            for placement in self._placements
        ]
        verdicts += (absent_verdict(layer, self._gaps, absent, stored) for layer in absent)
        for op in self._on_cpu:
            if op.index is not None and is_layer(self._source.ops[op.index]):
                layer = SourceLayer(op.index, self._source.ops[op.index])
                verdicts.append(on_cpu_verdict(layer, op.file, op.differences))
        return sorted(verdicts, key=lambda verdict: verdict.index)

    def other_ops(self) -> list[OperatorVerdict]:
        """The verdict on every operator without weights that a known rule applies to."""
        nothing = Evidence("unverified", "no program holds the layers around it")
        found = ((other, self._evidence.get(other.index, nothing)) for other in self._others)
        entries = ((other, one) for other, one in found if one.status != "unverified" or not other.doubt)
        return [
            OperatorVerdict(
                other.index,
                other.op.kind,
                other.op.name,
                one.status,
                one.reason,
                one.bundle,
                list(one.differences),
            )
            for other, one in entries
        ]

    def silent_ops(self) -> list[Op]:
        """The operators on the Edge TPU that have no verdict, as nothing of them shows."""
        judged = {verdict.index for verdict in self.other_ops()} | {layer.index for layer in self._layers}
        ops = ((index, self._source.ops[index]) for index in self._mapped)
        return [op for index, op in ops if index not in judged and not needs_cpu(op)]

    def accounts(self) -> list[ParameterAccount]:
        """Every byte of every program's parameters."""
        return [
            ParameterAccount(
                blob.file,
                blob.program,
                len(blob.content),
                len(own := [p for p in self._placements if p.place.program == number]),
                sum(placement.place.size for placement in own),
                [
                    Remainder(gap.place.start, gap.place.size, self._addition(gap.place) or UNEXPLAINED)
                    for gap in self._gaps
                    if gap.place.program == number
                ],
            )
            for number, blob in enumerate(self._blobs)
        ]


def _blobs(packages: Sequence[tuple[str, Package]]) -> Iterator[ParameterBlob]:
    """The parameters of every program that brings some along.

    Raises:
        MalformedModelError: They are more than a file can hold: programs share them.
    """
    total = 0
    for number, (file, package) in enumerate(packages):
        for executable in package.executables:
            total += len(executable.parameters)
            if total > MAX_FILE_BYTES:
                raise MalformedModelError(f"The programs of '{file}' have {total:,} bytes of parameters.")
            if len(executable.parameters):
                yield ParameterBlob(file, number, executable.kind, bytes(executable.parameters))
