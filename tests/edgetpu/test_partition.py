"""The partition is TFLite's: it follows the data, and the sorts alternate."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.edgetpu.partition import Subset, mapped_operators, partition
from coralsmith.graph.model import Graph, Op
from tests.builders import activation


def build(inputs_of: list[list[int]]) -> Graph:
    """A graph whose operator i reads the outputs of the operators in `inputs_of[i]`, or the graph input."""
    source = activation("input", (1, 4))
    outputs = [activation(f"value {index}", (1, 4)) for index in range(len(inputs_of))]
    ops = [
        Op("ADD", [outputs[i] for i in inputs] or [source], [outputs[index]])
        for index, inputs in enumerate(inputs_of)
    ]
    return Graph(ops, [source], outputs[-1:])


def by_rescanning(inputs_of: list[list[int]], supported: list[bool]) -> list[Subset]:
    """The algorithm as it is described: scan the operators in order until nothing more joins."""
    placed: set[int] = set()
    subsets: list[Subset] = []
    while len(placed) < len(inputs_of):
        members: set[int] = set()
        sort: bool | None = None
        joined = True
        while joined:
            joined = False
            for index, inputs in enumerate(inputs_of):
                if index not in placed | members and placed | members >= set(inputs):
                    sort = supported[index] if sort is None else sort
                    if supported[index] == sort:
                        members.add(index)
                        joined = True
        subsets.append(Subset(bool(sort), tuple(sorted(members))))
        placed |= members
    return subsets


@st.composite
def cases(draw):
    count = draw(st.integers(1, 12))
    inputs_of = [sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(count)]
    return inputs_of, draw(st.lists(st.booleans(), min_size=count, max_size=count))


@settings(max_examples=60)
@given(cases())
def test_it_equals_the_published_algorithm(case):
    inputs_of, supported = case
    assert partition(build(inputs_of), supported) == by_rescanning(inputs_of, supported)


@settings(max_examples=60)
@given(cases())
def test_every_operator_is_placed_once_and_after_what_it_reads(case):
    inputs_of, supported = case
    subsets = partition(build(inputs_of), supported)
    position = {index: place for place, subset in enumerate(subsets) for index in subset.ops}
    assert sorted(index for subset in subsets for index in subset.ops) == list(range(len(inputs_of)))
    assert all(position[source] <= position[i] for i, inputs in enumerate(inputs_of) for source in inputs)
    assert all(a.supported != b.supported for a, b in itertools.pairwise(subsets))


def first_supported(subsets: list[Subset]) -> Subset | None:
    """The one subset that the compiler maps, if there is any."""
    return next((subset for subset in subsets if subset.supported), None)


def first_subset(graph: Graph, supported: list[bool]) -> list[bool]:
    mapped = first_supported(partition(graph, supported))
    return [mapped is not None and index in mapped.ops for index in range(len(graph.ops))]


@settings(max_examples=60)
@given(cases())
def test_mapped_are_the_operators_of_the_first_supported_subset(case):
    graph = build(case[0])
    assert mapped_operators(graph, case[1]) == first_subset(graph, case[1])


def random_case(chance: random.Random) -> tuple[list[list[int]], list[bool | None]]:
    """A small graph, in which about every third operator is of unknown support."""
    count = chance.randint(1, 9)
    inputs_of = [sorted(chance.sample(range(i), min(i, chance.randint(0, 3)))) for i in range(count)]
    return inputs_of, [chance.choice([True, False, None]) for _ in range(count)]


def completions(supported: list[bool | None]) -> Iterator[list[bool]]:
    """Every way in which the unknown operators may turn out."""
    choices = [(True, False) if answer is None else (answer,) for answer in supported]
    return (list(turned_out) for turned_out in itertools.product(*choices))


def test_what_is_claimed_is_exactly_what_holds_however_the_unknown_operators_turn_out():
    chance = random.Random(1)
    for _ in range(1500):
        inputs_of, supported = random_case(chance)
        graph = build(inputs_of)
        outcomes = zip(*(first_subset(graph, turned_out) for turned_out in completions(supported)), strict=True)
        expected = [fates[0] if len(set(fates)) == 1 else None for fates in outcomes]
        assert mapped_operators(graph, supported) == expected, (inputs_of, supported)


def test_an_unknown_operator_leaves_alone_what_does_not_depend_on_it():
    # 1 is unknown; 2 reads it, 3 does not, 4 is unsupported and 5 reads it.
    graph = build([[], [0], [1], [0], [0], [4]])
    claimed = mapped_operators(graph, [True, None, True, True, False, True])
    assert claimed == [True, None, None, True, False, False]


def test_an_unknown_first_operator_strands_nobody_either_way():
    assert mapped_operators(build([[], [0], [1]]), [None, True, True]) == [None, True, True]


def test_leading_cpu_operators_do_not_end_the_mapping():
    subsets = partition(build([[], [0], [1]]), [False, True, True])
    assert first_supported(subsets) == Subset(True, (1, 2))


def test_only_what_depends_on_an_unmapped_operator_is_stranded():
    # 1 is unsupported; 2 reads it, 3 does not.
    subsets = partition(build([[], [0], [1], [0]]), [True, False, True, True])
    assert first_supported(subsets) == Subset(True, (0, 3))


def test_the_first_supported_subset_counts_not_the_largest():
    subsets = partition(build([[], [0], [1], [2], [3]]), [True, False, True, True, True])
    assert first_supported(subsets) == Subset(True, (0,))


def test_nothing_supported_gives_no_mapped_subset():
    assert first_supported(partition(build([[], [0]]), [False, False])) is None


def test_an_empty_graph_has_no_subsets():
    assert partition(Graph([], [], []), []) == []


def test_an_operator_whose_result_nobody_needs_is_placed_all_the_same():
    # 1 and 2 are dead ends, one of each sort.
    subsets = partition(build([[], [0], [0], [0]]), [True, True, False, True])
    assert subsets == [Subset(True, (0, 1, 3)), Subset(False, (2,))]


def test_several_outputs_of_one_operator_are_one_dependency():
    graph = build([[], [0]])
    more = activation("more", (1, 4))
    graph.ops[0].outputs.append(more)
    graph.ops[1].inputs.append(more)
    assert partition(graph, [True, True]) == [Subset(True, (0, 1))]


def test_constants_and_missing_inputs_do_not_delay_an_operator():
    graph = build([[], [0]])
    graph.ops[1].inputs.append(None)
    assert partition(graph, [True, True]) == [Subset(True, (0, 1))]


@pytest.mark.slow
def test_an_alternating_chain_of_20000_operators_is_quick():
    count = 20_000
    graph = build([[i - 1] if i else [] for i in range(count)])
    started = time.monotonic()
    subsets = partition(graph, [index % 2 == 0 for index in range(count)])
    assert len(subsets) == count
    assert time.monotonic() - started < 5
