from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.importers.frozen_graph_structure import Heads, NodeGraph, find_heads, find_image, find_outputs

# name: operator, inputs. Names tell nothing on purpose.
DETECTOR = {
    "n0": ("Placeholder", []),
    "n1": ("Const", []),
    "n2": ("Sub", ["n0", "n1"]),
    "n3": ("Conv2D", ["n2", "n1", "^n0"]),
    "n4": ("Sigmoid", ["n3"]),
    "n5": ("Mul", ["n3", "n4"]),
    "n6": ("Conv2D", ["n5", "n1"]),
    "n7": ("Shape", ["n6"]),
    "n8": ("Reshape", ["n6", "n7"]),
    "n9": ("ConcatV2", ["n8", "n8", "n1"]),
    "n10": ("Conv2D", ["n5", "n1"]),
    "n11": ("ConcatV2", ["n10", "n10", "n1"]),
    "n12": ("Squeeze", ["n9"]),
    "n13": ("Unpack", ["n12"]),
    "n14": ("Mul", ["n13:2", "n1"]),
    "n15": ("Exp", ["n14"]),
    "n16": ("Mul", ["n13:3", "n1"]),
    "n17": ("Exp", ["n16"]),
    "n18": ("Pack", ["n13", "n13:1", "n15", "n17"]),
    "n19": ("Identity", ["n11"]),
    "n20": ("Softmax", ["n19"]),
}


def graph_of(nodes: dict[str, tuple[str, list[str]]]) -> NodeGraph:
    return NodeGraph(
        SimpleNamespace(node=[SimpleNamespace(name=n, op=kind, input=i) for n, (kind, i) in nodes.items()])
    )


def test_heads_are_what_the_decoder_and_the_score_activation_read() -> None:
    assert find_heads(graph_of(DETECTOR)) == Heads("n9", "n11", "n20", ("n15", "n17"))


def test_a_sigmoid_inside_the_network_is_no_score_activation() -> None:
    heads = find_heads(graph_of({**DETECTOR, "n20": ("Sigmoid", ["n19"])}))
    assert heads is not None
    assert heads.activation == "n20"


def test_names_do_not_matter() -> None:
    renamed = {
        f"x{name}": (kind, [f"^x{i[1:]}" if i[0] == "^" else f"x{i}" for i in inputs])
        for name, (kind, inputs) in reversed(DETECTOR.items())
    }
    assert find_heads(graph_of(renamed)) == Heads("xn9", "xn11", "xn20", ("xn17", "xn15"))


def test_a_classifier_has_no_heads_but_outputs() -> None:
    nodes = {name: DETECTOR[name] for name in ("n0", "n1", "n2", "n3")}
    nodes["n4"] = ("Softmax", ["n3"])
    assert find_heads(graph_of(nodes)) is None
    assert find_outputs(graph_of(nodes)) == ["n4"]


def test_two_pairs_of_heads_are_refused() -> None:
    nodes = {
        **DETECTOR,
        "n21": ("ConcatV2", ["n6", "n6", "n1"]),
        "n22": ("Exp", ["n21"]),
    }
    with pytest.raises(UnsupportedModelError, match="more than one pair"):
        find_heads(graph_of(nodes))


def test_the_image_is_the_placeholder_that_reaches_a_convolution() -> None:
    assert find_image(graph_of({"is_training": ("Placeholder", []), **DETECTOR})) == "n0"


def test_no_image_is_an_error_that_lists_the_placeholders() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        find_image(graph_of({"is_training": ("Placeholder", [])}))
    assert "is_training" in caught.value.hint


def test_an_edge_to_nowhere_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="reads 'lost'"):
        graph_of({"n0": ("Identity", ["lost:1"])})


def test_a_loop_does_not_keep_it_busy() -> None:
    nodes = {**DETECTOR, "n2": ("Merge", ["n0", "n5"])}
    assert find_heads(graph_of(nodes)) == Heads("n9", "n11", "n20", ("n15", "n17"))


@pytest.mark.parametrize(("factor", "scores"), [(1.0, "n11"), (0.5, "n20a")])
def test_a_scaling_of_the_scores_belongs_to_the_network_unless_it_is_one(
    factor: float, scores: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = {
        **DETECTOR,
        "n20a": ("Mul", ["n19", "n1"]),
        "n20": ("Sigmoid", ["n20a"]),
    }
    constants = {"n1": np.array(factor)}
    monkeypatch.setattr(NodeGraph, "constant", lambda _, name: constants.get(name))
    heads = find_heads(graph_of(scaled))
    assert heads is not None
    assert heads.scores == scores
