"""Protobuf's text format is read as its specification says, within bounds, and damage is told by its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.detection.text_format import MAX_DEPTH, parse_text_format
from coralsmith.errors import InputError


def test_scalars_messages_and_their_repetitions() -> None:
    root = parse_text_format("""
        # a comment
        name: "ssd" count: 3
        part { size: 1.5 } part: { size: 2.5; } part < size: 3.5, >
        ratios: 1.0 ratios: [2.0, 0.5]
        kind: SIGMOID flag: true
    """)
    assert root.text("name") == "ssd"
    assert root.number("count", 0) == 3
    assert [part.number("size", 0) for part in root.messages["part"]] == [1.5, 2.5, 3.5]
    assert root.message("part").number("size", 0) == 3.5  # the last one wins
    assert root.numbers("ratios") == [1.0, 2.0, 0.5]
    assert root.text("kind") == "SIGMOID"
    assert root.flag("flag", default=False)


def test_what_is_left_out_has_its_default() -> None:
    root = parse_text_format("")
    assert root.text("name") == ""
    assert root.number("count", 6) == 6
    assert root.flag("flag", default=True)
    assert root.message("part").message("inner").numbers("x") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"name: 'it\'s'", "it's"),
        (r'name: "caf\303\251"', "café"),
        ("name: 'two' \"parts\"", "twoparts"),
        ("name: '{ # : }'", "{ # : }"),
    ],
)
def test_strings(text: str, value: str) -> None:
    assert parse_text_format(text).text("name") == value


def test_the_name_of_an_extension_stands_in_brackets() -> None:
    assert parse_text_format("[my.package.extra] { size: 1 }").message("my.package.extra").number("size", 0) == 1


@pytest.mark.parametrize(("text", "value"), [("1e-08", 1e-8), ("-2", -2.0), ("3.5f", 3.5), ("inf", float("inf"))])
def test_numbers(text: str, value: float) -> None:
    assert parse_text_format(f"x: {text}").number("x", 0) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a { b: 1", "line 1 ends inside 1 open messages"),
        ("a {\n}\n}", "line 3 has '}' where a field begins"),
        ("a { >", "where a field begins"),
        ("a: ", "is cut off"),
        ("a: [1, 2", "is cut off"),
        ("a 1", "has no value for 'a'"),
        ("a", "has no value for 'a'"),
        (": 1", "where a field begins"),
        ("a: 'open", "begins nothing"),
        ("[a.b", "ends inside a name"),
        ("a: {b: :}", "where a value is due"),
        ("\x00", "begins nothing"),
    ],
)
def test_damage_is_told_by_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_text_format(text)


@pytest.mark.parametrize(("read", "message"), [("number", "not a number"), ("flag", "not true or false")])
def test_a_value_of_another_kind_is_an_error(read: str, message: str) -> None:
    root = parse_text_format("x: SIGMOID")
    with pytest.raises(InputError, match=message):
        root.number("x", 0) if read == "number" else root.flag("x", default=True)


def test_nesting_is_bounded_without_recursion() -> None:
    assert parse_text_format("a {" * (MAX_DEPTH - 1) + "}" * (MAX_DEPTH - 1)).messages
    with pytest.raises(InputError, match="nests deeper than 64"):
        parse_text_format("a {" * 200_000)


@given(st.text("ab{}<>[]:;,'\"#\\ \n1.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_text_format(text)
    except InputError as error:
        assert error.message.startswith("line ")
