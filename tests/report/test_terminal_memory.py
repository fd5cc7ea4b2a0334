"""The table of layers and the lines about memory, as they stand on a terminal."""

from __future__ import annotations

import dataclasses

import pytest

from coralsmith.edgetpu.activations import ActivationMemory
from coralsmith.edgetpu.memory import LayerMemory
from coralsmith.edgetpu.rules import rule
from coralsmith.report.terminal import print_check
from coralsmith.report.terminal_memory import largest_waste, layer_table
from tests.report.example_report import parameters_document
from tests.report.test_terminal import Screen, check_report

LAYER = LayerMemory(**parameters_document()["layers"][0])


def layers(count: int) -> list[LayerMemory]:
    return [
        dataclasses.replace(LAYER, index=number, name=f"layer_{number}", low=1024 * number, high=1024 * number)
        for number in range(1, count + 1)
    ]


def test_the_largest_layers_come_first_and_the_rest_is_summed_up() -> None:
    screen = Screen()
    layer_table(screen.console, layers(14))
    lines = [line.split() for line in screen.text.splitlines() if line.strip()]
    assert lines[0] == ["Layer", "Bytes", "Wasted", "by", "Kept"]
    assert [line[0] for line in lines[1:13]] == [f"layer_{number}" for number in range(14, 2, -1)]
    assert lines[13] == ["2", "smaller", "ones", "3.00", "KiB"]


def test_a_layer_tells_its_bytes_what_wastes_them_and_where_it_is_kept() -> None:
    screen = Screen()
    layer_table(screen.console, [LAYER, LayerMemory(**parameters_document()["layers"][1])])
    assert "BoxPredictor_0/Class 370 KiB to 669 KiB 11 % outputs unknown" in screen.words
    assert "Conv_1 370 KiB 11 % outputs cached" in screen.words


def test_no_layers_no_table() -> None:
    screen = Screen()
    layer_table(screen.console, [])
    assert screen.text == ""


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("output_padding", "outputs"),
        ("channel_padding", "input channels"),
        ("diagonal", "depthwise"),
        ("inserted", "inserted"),
    ],
)
def test_the_largest_waste_is_named(field: str, name: str) -> None:
    assert largest_waste(dataclasses.replace(LAYER, output_padding=1) if field != "output_padding" else LAYER)
    assert largest_waste(dataclasses.replace(LAYER, **{"output_padding": 0, field: 9})) == name


def test_a_check_tells_activations_and_layers_only_when_asked() -> None:
    brief, full = Screen(), Screen()
    print_check(check_report(), console=brief.console)
    print_check(check_report(), verbose=True, console=full.console)
    for screen in (brief, full):
        assert "Activations 184 KiB prediction of 192 KiB on each of 16 tiles" in screen.words
    assert "Conv_1" in full.text and "Conv_1" not in brief.text


def test_activations_that_do_not_fit_say_so() -> None:
    screen = Screen()
    print_check(check_report(activations=ActivationMemory(261_360)), console=screen.console)
    assert "Activations 255 KiB prediction more than the 192 KiB on each of 16 tiles" in screen.words


def test_the_change_that_saves_most_is_told_without_asking() -> None:
    screen = Screen()
    best = rule("outputs-above-group").finding(
        op="logits;logits/bias", measured="65 outputs cost as much as 128", fix="64 outputs would save 1.10 MiB."
    )
    other = rule("few-outputs").finding(op="box", measured="1 output costs 78 KiB, as 16 would")
    print_check(check_report(findings=[best, other]), console=screen.console)
    told = "Worth changing: logits;...: 65 outputs cost as much as 128. 64 outputs would save 1.10 MiB."
    assert told in screen.words
    assert "78 KiB" not in screen.words


def test_a_model_without_anything_on_the_chip_has_no_activations() -> None:
    screen = Screen()
    print_check(check_report(activations=ActivationMemory(0)), console=screen.console)
    assert "Activations" not in screen.text


def test_a_hostile_name_cannot_act_on_the_terminal() -> None:
    screen = Screen(encoding="ascii")
    layer_table(screen.console, [dataclasses.replace(LAYER, name="evil\x1b[31m\u202e")])
    assert "\x1b" not in screen.text
