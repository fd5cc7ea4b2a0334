"""Which operator of a source owns which block of constants of a program: every block has one owner."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.compiled.program import NEXT_BLOCK, Program, RequantBlock, RequantRun
from coralsmith.compiled.requantization import Requantization, mean_the_same, with_weights
from coralsmith.compiled.verification.added_blocks import is_added, padding_values
from coralsmith.compiled.verification.constants import MOST_COMPARISONS, align, constant_differences, fits
from coralsmith.compiled.verification.other_operators import OtherOperator
from coralsmith.compiled.verification.report import Difference, Status
from coralsmith.compiled.verification.source_layers import SourceLayer
from coralsmith.graph.model import Graph, Op, Tensor

Window = tuple[int, int]
"""The bundles between which a block must be; both are outside."""

_BEHIND_ALL: Final = 1 << 62

_MOST_IN_A_STRIPE: Final = 16  # 4 were seen
_ROUNDING: Final = 1e-6
_RESCALERS: Final = frozenset({"CONCATENATION", "QUANTIZE"})

_FOUND: Final = "its constants are in the program"
_DIFFER: Final = "its constants in the program differ"
_ABSENT: Final = "the program has no block of constants where its own should be"
_RESCALED: Final = (
    "the program gives it a scale of its own and rescales it for the CONCATENATION behind it, which in the source "
    "has one scale for all: another export of the model was compiled"
)
_WRITTEN_AHEAD: Final = (
    "the program writes it with the scale of the operator behind it right away, which is not proved to be the "
    "compiler's way"
)


@dataclass(frozen=True)
class Evidence:
    """What a program says of the constants of one operator.

    Attributes:
        status: exact, mismatch or unverified.
        reason: Why, in words.
        bundle: The bundle of its first block; None where there is none.
        differences: The constants that differ.
    """

    status: Status
    reason: str
    bundle: int | None = None
    differences: tuple[Difference, ...] = ()


class Ledger:
    """The blocks of one program and their owners.

    Args:
        program: The program.
        graph: The source.
    """

    def __init__(self, program: Program, graph: Graph) -> None:
        self._program = program
        self._runs = program.runs
        self._terms = {load.block_bundle: load.terms for load in program.ratios}
        self._graph = graph
        self._readers = graph.consumers()
        self._owner: dict[int, Op] = {}
        self._bundles: dict[Op, list[int]] = {}

    def settle(self, layers: Sequence[SourceLayer], others: Sequence[OtherOperator]) -> dict[int, Evidence]:
        """Find the constants of layers and other operators.

        Args:
            layers: The layers of the program, in the order of their parameters.
            others: Operators without weights that may be in this program.

        Returns:
            The evidence, by index in the source.

        Raises:
            ValueError: There are too many blocks to be those of a real model.
        """
        if len(others) * len(self._runs) > MOST_COMPARISONS:
            raise ValueError(f"{len(self._runs)} blocks of constants")
        evidence = self._of_layers(layers, align([layer.constants for layer in layers], self._runs))
        missing = {other.index: other for other in others}
        for other, windows in self._windows(others):
            if exact := self._found(other, windows):
                evidence[other.index] = exact
                del missing[other.index]
        self._claim_stripes()
        for other, windows in self._windows(missing.values()):
            evidence[other.index] = self._missing(other, windows)
        return evidence

    def unexplained(self, kinds: Collection[str]) -> list[int]:
        """The bundles of constants without an owner that the compiler is not known to add.

        Those are blocks, what resembles the next block of an operator and is none, and values of padding that are
        not the zero point of any padded tensor.

        Args:
            kinds: Kinds of the operators on the Edge TPU.
        """
        edges = {edge: run.block for run in map(self._runs.__getitem__, self._owner) for edge in _edges(run)}
        free = [run for number, run in enumerate(self._runs) if number not in self._owner]
        unknown = [
            run for run in free if not is_added(run.block, kinds) or not edges.keys().isdisjoint(run.bundles)
        ]
        blocks = {block.bundle for block in self._program.blocks}
        spoilt = [
            edge for edge in edges.keys() - blocks if edge > 0 and self._program.resembles(edge, edges[edge])
        ]
        padded = padding_values(self._graph)
        paddings = [load.bundle for load in self._program.paddings if load.value not in padded]
        return sorted([*(bundle for run in unknown for bundle in run.bundles), *spoilt, *paddings])

    def _of_layers(self, layers: Sequence[SourceLayer], found: Sequence[int | None]) -> dict[int, Evidence]:
        evidence: dict[int, Evidence] = {}
        for layer, run in zip(layers, found, strict=True):
            if layer.constants is None:
                evidence[layer.index] = Evidence("unverified", layer.doubt)
            elif run is None:
                evidence[layer.index] = Evidence("unverified", _ABSENT)
            else:
                self._claim(layer.op, run)
                evidence[layer.index] = self._of_layer(layer, layer.constants, self._runs[run].block)
        return evidence

    def _of_layer(self, layer: SourceLayer, expected: Requantization, block: RequantBlock) -> Evidence:
        """What the block at a layer's place says."""
        differences = tuple(constant_differences(expected, block))
        if not differences:
            return Evidence("exact", _FOUND, block.bundle)
        if self._is_rescaled_later(layer, expected, block):
            return Evidence("unverified", _RESCALED, block.bundle, differences)
        if self._is_written_ahead(layer, block):
            return Evidence("unverified", _WRITTEN_AHEAD, block.bundle, differences)
        return Evidence("mismatch", _DIFFER, block.bundle, differences)

    def _windows(self, others: Iterable[OtherOperator]) -> Iterator[tuple[OtherOperator, list[Window]]]:
        """Each operator in execution order with the bundles between which each of its blocks must be.

        They lie behind the first block of whatever makes the input, which may have been found meanwhile, and
        before the last one of whatever reads the output.
        """
        wanted = {other.op: other for other in others}
        before: dict[Op, int] = {}
        for op in reversed(self._graph.ops):
            readers = (reader for tensor in op.outputs for reader in self._readers.get(tensor, ()))
            before[op] = min((self._last(reader, before) for reader in readers), default=_BEHIND_ALL)
        after: dict[Tensor, int] = {}
        for op in self._graph.ops:
            if op in wanted:
                inputs = ([tensor] if tensor else list(op.activations()) for tensor, _ in wanted[op].blocks)
                lows = (max((after.get(tensor, -1) for tensor in of_block), default=-1) for of_block in inputs)
                yield wanted[op], [(low, before[op]) for low in lows]
            own = min(self._bundles.get(op, ()), default=None)
            behind = own if own is not None else max((after.get(t, -1) for t in op.activations()), default=-1)
            after.update(dict.fromkeys(op.outputs, behind))

    def _last(self, op: Op, before: Mapping[Op, int]) -> int:
        return max(self._bundles[op]) if op in self._bundles else before.get(op, _BEHIND_ALL)

    def _claim(self, op: Op, run: int) -> int:
        """Make an operator the owner of a run; returns its first bundle."""
        bundle = self._runs[run].block.bundle
        self._owner[run] = op
        self._bundles.setdefault(op, []).append(bundle)
        return bundle

    def _claim_stripes(self) -> None:
        """Operators whose maps are worked through in stripes, one stripe after another, own the runs of each."""
        for start, length in _repetitions([run.block.constants for run in self._runs]):
            for number in range(start, start + length):
                if number in self._owner and number + length not in self._owner:
                    self._claim(self._owner[number], number + length)

    def _free(self, low: int, high: int) -> list[tuple[int, RequantRun]]:
        """The runs without an owner between two bundles."""
        return [
            (number, run)
            for number, run in enumerate(self._runs)
            if number not in self._owner and low < run.block.bundle < high
        ]

    def _found(self, other: OtherOperator, windows: Sequence[Window]) -> Evidence | None:
        """The blocks of an operator without weights: all of them or none."""
        if not other.blocks:
            return None
        chosen: list[int] = []
        for (_, block), window in zip(other.blocks, windows, strict=True):
            fitting = (
                number
                for number, run in self._free(*window)
                if number not in chosen and fits(block, run.block) and self._has_terms(other, run)
            )
            run = next(fitting, None)
            if run is None:
                return None
            chosen.append(run)
        return Evidence("exact", _FOUND, min(self._claim(other.op, run) for run in chosen))

    def _has_terms(self, other: OtherOperator, run: RequantRun) -> bool:
        """Whether the operands of an ADD are multiplied by its two integers, loaded in either order."""
        terms = self._terms.get(run.block.bundle, (0, 0))
        return other.terms is None or sorted(terms) == sorted(other.terms)

    def _missing(self, other: OtherOperator, windows: Sequence[Window]) -> Evidence:
        """What stands in place of the constants of an operator without weights."""
        if other.doubt or other.reason:
            return Evidence("unverified", other.doubt or other.reason)
        for (_, block), window in zip(other.blocks, windows, strict=True):
            candidates = (number for number, run in self._free(*window) if _could_be(other.op, block, run.block))
            run = next(candidates, None)
            if run is None:
                continue
            found = self._runs[run].block
            differences = constant_differences(block, found)
            if not differences and other.terms is not None:
                terms = self._terms.get(found.bundle)
                differences = [Difference("ratio of scales", _ratio(other.terms), _ratio(terms))]
            return Evidence("mismatch", _DIFFER, self._claim(other.op, run), tuple(differences))
        return Evidence("unverified", _ABSENT)

    def _is_rescaled_later(self, layer: SourceLayer, expected: Requantization, block: RequantBlock) -> bool:
        """Whether a block writes another scale than the CONCATENATION behind it has, and one behind it rescales.

        A converter may give all inputs of a CONCATENATION one scale; a source that went through it says nothing of
        the scales that the compiled one had.
        """
        readers = self._readers.get(layer.op.output, [])
        if len(readers) != 1 or readers[0].kind != "CONCATENATION":
            return False
        if not mean_the_same(layer.op.output, readers[0].output):
            return False
        own = block.output_zero_point
        return own != expected.output_zero_point and any(
            run.block.input_zero_point == own
            and run.block.weight_zero_point == 0
            and abs(run.block.multiplier - 1) > _ROUNDING
            for _, run in self._free(block.bundle, _BEHIND_ALL)
        )

    def _is_written_ahead(self, layer: SourceLayer, block: RequantBlock) -> bool:
        """Whether a block writes the scale of the CONCATENATION or QUANTIZE that would rescale the output."""
        output, following = layer.op.output, self._readers.get(layer.op.output, [])
        while len(following) == 1 and following[0].kind == "RESHAPE" and _is_kept(output, following[0].output):
            following = self._readers.get(following[0].output, [])
        if len(following) != 1 or following[0].kind not in _RESCALERS:
            return False
        source, weights = layer.op.required_input("input"), layer.op.required_input("filter")
        try:
            activation = layer.op.attributes.get("fused_activation_function", "NONE")
            return fits(with_weights(source, weights, following[0].output, activation), block)
        except ValueError:
            return False


def _edges(run: RequantRun) -> tuple[int, int]:
    """Where one more block of a run would be."""
    return run.bundles[0] - NEXT_BLOCK, run.bundles[-1] + NEXT_BLOCK


def _is_kept(first: Tensor, second: Tensor) -> bool:
    """Whether both tensors have the same quantization, as those around a RESHAPE must."""
    return first.quant is not None and first.quant.same_as(second.quant)


def _repetitions(sequence: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Where two or more entries are followed by the same ones again, and how many they are; the longest first."""
    for length in range(_MOST_IN_A_STRIPE, 1, -1):
        same = 0
        for position in range(length, len(sequence)):
            same = same + 1 if sequence[position] == sequence[position - length] else 0
            if same == length:
                yield position + 1 - 2 * length, length
                same = 0


def _could_be(op: Op, expected: Requantization, block: RequantBlock) -> bool:
    """Whether a block can be that of an operator without weights of the kind."""
    if op.kind == "LOGISTIC":
        return block.clamp_min == expected.clamp_min and block.clamp_max == expected.clamp_max
    if op.kind == "ADD":
        return block.weight_zero_point == 0 and bool(block.bias) == bool(expected.bias)
    is_of_input = (
        block.input_zero_point == expected.input_zero_point and block.weight_zero_point == block.bias == 0
    )
    is_of_output = block.output_zero_point == expected.output_zero_point or block.multiplier == expected.multiplier
    return is_of_input and (bool(expected.input_zero_point) or is_of_output)


def _ratio(terms: tuple[int, int] | None) -> str:
    return "none" if terms is None else "{} to {}".format(*sorted(terms))
