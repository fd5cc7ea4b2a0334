from __future__ import annotations

from typing import Any

import pytest

from coralsmith.errors import MalformedModelError
from coralsmith.importers.tfjs.topology import canonical_topology


def attributes(**values: Any) -> dict[str, Any]:
    return {"node": [{"name": "x", "op": "Conv2D", "attr": values}]}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ({"s": [83, 65, 77, 69]}, {"s": "U0FNRQ=="}),
        ({"s": []}, {"s": ""}),
        ({"s": "U0FNRQ=="}, {"s": "U0FNRQ=="}),
        ({"list": {"s": [], "i": ["1"]}}, {"list": {"s": [], "i": ["1"]}}),
        ({"list": {"s": [[66], []]}}, {"list": {"s": ["Qg==", ""]}}),
        ({"tensor": {"dtype": 7, "stringVal": [[72, 105]]}}, {"tensor": {"dtype": 7, "stringVal": ["SGk="]}}),
        ({"tensor": {"tensorContent": [0, 255]}}, {"tensor": {"tensorContent": "AP8="}}),
        (
            {"func": {"name": "f", "attr": {"a": {"s": [72]}}}},
            {"func": {"name": "f", "attr": {"a": {"s": "SA=="}}}},
        ),
        ({"type": 1}, {"type": 1}),
    ],
)
def test_character_codes_become_base64_and_all_else_stays(written: Any, canonical: Any) -> None:
    assert canonical_topology(attributes(value=written)) == attributes(value=canonical)


def test_an_attribute_may_be_called_like_a_field() -> None:
    named = attributes(s={"i": "1"}, list={"s": [72]}, tensor={"list": {"i": ["1", "2"]}})
    assert canonical_topology(named) == attributes(
        s={"i": "1"}, list={"s": "SA=="}, tensor={"list": {"i": ["1", "2"]}}
    )


def test_functions_of_the_library_are_looked_through() -> None:
    library = {
        "library": {"function": [{"nodeDef": attributes(a={"s": [72]})["node"], "attr": {"b": {"s": [72]}}}]}
    }
    (function,) = canonical_topology(library)["library"]["function"]
    assert function["nodeDef"][0]["attr"]["a"] == {"s": "SA=="}
    assert function["attr"]["b"] == {"s": "SA=="}


@pytest.mark.parametrize("codes", [[300], [-1], [1.5], [True], ["a"], [[1]]], ids=str)
def test_codes_that_are_no_bytes_are_refused(codes: list[Any]) -> None:
    with pytest.raises(MalformedModelError, match="bytes are no bytes"):
        canonical_topology(attributes(value={"s": codes}))


def test_endless_nesting_is_refused() -> None:
    value: dict[str, Any] = {"s": [1]}
    for _ in range(10_000):
        value = {"func": {"attr": {"a": value}}}
    with pytest.raises(MalformedModelError, match="nested too deeply"):
        canonical_topology(attributes(value=value))


@pytest.mark.parametrize("node", [None, 3, "x", {"attr": [1]}, {"attr": {"a": 1}}], ids=str)
def test_what_is_no_node_is_left_for_protobuf_to_judge(node: Any) -> None:
    assert canonical_topology({"node": [node]}) == {"node": [node]}
