"""Each thing that can be wrong with a compiled file is found, and nothing is found in files of the compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coralsmith.compiled.executable import AddressField, Bitstream, DmaHint, Executable
from coralsmith.compiled.inspection import inspect_model
from coralsmith.compiled.integrity import integrity_findings
from coralsmith.compiled.package import Package, parse_compiled, read_compiled
from coralsmith.compiled.rules import inspection_rules
from coralsmith.edgetpu.rules import EVIDENCE_KINDS
from coralsmith.findings import Finding
from tests.compiled.compiled_files import compiled_bytes, layer, package, program, with_transfers


def found(changed: Package, *, promised: Package | None = None, **how: Any) -> list[Finding]:
    """The findings of a file with this package, in a model made after `promised`."""
    content = compiled_bytes(changed, promised=[promised or changed], **how)
    return inspect_model(parse_compiled(content, allow_stubs=True), name="it", size=len(content)).findings


def rules(changed: Package, **how: Any) -> list[str]:
    return [finding.rule for finding in found(changed, **how)]


def inference(**changes: Any) -> Package:
    """A package whose inference was changed after compiling."""
    return package(replace(program(), **changes), program("PARAMETER_CACHING", parameters=bytes(512)))


def test_a_sound_file_has_no_findings():
    assert rules(package()) == []


def test_files_of_the_compiler_contradict_themselves_nowhere(shared: Path):
    paths = sorted((shared / "edgetpu").rglob("*_edgetpu.tflite"))
    assert len(paths) == 22
    assert [finding for path in paths for finding in integrity_findings(read_compiled(path))] == []


def test_a_model_that_was_never_compiled_is_an_error(shared: Path):
    model = read_compiled(shared / "edgetpu" / "pairs" / "libredge__dense_256" / "model.tflite")
    assert [finding.rule for finding in integrity_findings(model)] == ["not-compiled"]


PACKAGES: dict[str, tuple[Package, str]] = {
    "a stub": (replace(package(), executables=()), "0 programs"),
    "two inferences": (package(program(), program()), "EXECUTION_ONLY, EXECUTION_ONLY"),
    "another chip's name": (inference(chip="abrolhos"), "abrolhos"),
    "another chip's number": (package(chips=(18, 21)), "21"),
    "several chips": (package(virtual_chip=-1), "virtual chip -1"),
    "a runtime that never was": (package(min_runtime=15), "runtime 15"),
    "no token": (
        package(program(caching_token=0), program("PARAMETER_CACHING", parameters=b"12", caching_token=0)),
        "0",
    ),
    "two tokens": (inference(caching_token=7), "0x0000000000000007, 0xfedcba9876543210"),
    "no instructions": (package(program(bitstreams=())), "EXECUTION_ONLY: 0 bytes"),
    "part of a bundle": (
        package(program(bitstreams=(Bitstream(memoryview(bytes(1000)), ()),))),
        "EXECUTION_ONLY: 1,000 bytes",
    ),
    "a batch of nothing": (inference(batch_size=0), "EXECUTION_ONLY: 0"),
    "too much activation memory": (inference(narrow_memory_bytes=196_609), "196,609 B"),
    "nearly all activation memory": (inference(narrow_memory_bytes=190_000), "190,000 B"),
    "host memory": (inference(scratch_bytes=672), "672 B"),
}

RULES = {
    "a stub": "no-executable",
    "two inferences": "program-combination",
    "another chip's name": "other-chip",
    "another chip's number": "other-chip",
    "several chips": "several-chips",
    "a runtime that never was": "runtime-too-new",
    "no token": "token-missing",
    "two tokens": "token-unequal",
    "no instructions": "no-instructions",
    "part of a bundle": "no-instructions",
    "a batch of nothing": "batch-size",
    "too much activation memory": "activation-memory-exceeded",
    "nearly all activation memory": "activation-memory-full",
    "host memory": "host-scratch",
}


@pytest.mark.parametrize("case", PACKAGES)
def test_what_is_wrong_with_a_package_is_found_with_its_measure(case: str):
    changed, measured = PACKAGES[case]
    findings = {finding.rule: finding for finding in found(changed)}
    assert list(findings) == [RULES[case]]
    assert findings[RULES[case]].measured == measured


@pytest.mark.parametrize("limit", [{"min_runtime": 14}, {"chips": (18,)}, {"chips": ()}, {"min_runtime": 10}])
def test_what_stays_within_the_limits_is_none(limit: dict[str, Any]):
    assert rules(package(**limit)) == []


def test_memory_at_its_limit_is_no_error():
    assert rules(inference(narrow_memory_bytes=196_608)) == ["activation-memory-full"]


@pytest.mark.parametrize(
    ("bit", "is_inside"), [(0, True), (8 * 1024 - 32, True), (8 * 1024 - 31, False), (-1, False)]
)
def test_an_address_must_lie_in_its_instructions(bit: int, is_inside: bool):
    stream = program().bitstreams[0]
    field = AddressField("input", "in", 0, False, bit)
    changed = inference(bitstreams=(replace(stream, fields=(field,)),))
    assert rules(changed) == ([] if bit in (0, 8 * 1024 - 32) else ["address-outside"])


def hints_without(number: int) -> Callable[[Executable], Executable]:
    return lambda one: replace(one, dma_hints=one.dma_hints[:number] + one.dma_hints[number + 1 :])


def with_hint(place: int, **changes: Any) -> Callable[[Executable], Executable]:
    def change(one: Executable) -> Executable:
        hints = list(one.dma_hints)
        hints[place] = replace(hints[place], **changes)
        return replace(one, dma_hints=tuple(hints))

    return change


def with_more(*hints: DmaHint) -> Callable[[Executable], Executable]:
    return lambda one: replace(one, dma_hints=(*one.dma_hints, *hints))


# By number: instructions, 512 bytes of parameters, an input of 128 bytes, an output of 16, the interrupt.
TRANSFERS = {
    "instructions never": (hints_without(0), "instructions: 0 transfers for 1 chunks"),
    "instructions twice": (with_more(DmaHint("instructions", "infeed")), "instructions: 2 transfers"),
    "another chunk": (with_hint(0, number=1), "instructions: 1 transfers"),
    "parameters never": (hints_without(1), "parameters: bytes from 0 to 512 move never"),
    "parameters cut short": (with_hint(1, size=500), "parameters: bytes from 500 to 512 move never"),
    "parameters beyond": (with_hint(1, size=513), "parameters: 513 bytes at 0 lie outside"),
    "a negative offset": (with_hint(1, offset=-4), "parameters: 512 bytes at -4 lie outside"),
    "a gap": (with_hint(1, offset=12, size=500), "parameters: bytes from 0 to 12 move never"),
    "an overlap": (
        with_more(DmaHint("descriptor", "infeed", "parameter", offset=500, size=12)),
        "parameters: bytes from 500 to 512 move twice",
    ),
    "input never": (hints_without(2), "input 'in': bytes from 0 to 128 move never"),
    "output cut short": (with_hint(3, size=8), "output 'out': bytes from 8 to 16 move never"),
    "an unknown layer": (
        with_more(DmaHint("descriptor", "outfeed", "output", "other", size=8)),
        "1 outputs are moved that the program does not have",
    ),
}


@pytest.mark.parametrize("case", TRANSFERS)
def test_each_byte_must_be_moved_once(case: str):
    change, words = TRANSFERS[case]
    (finding, *rest) = [
        one for one in found(package(change(program(parameters=bytes(512))))) if one.severity == "error"
    ]
    assert finding.rule == "transfers" and not rest
    assert words in (finding.measured or "")


def test_transfers_in_several_pieces_are_whole():
    halves = [DmaHint("descriptor", "infeed", "parameter", offset=at, size=256) for at in (256, 0)]
    one = program(parameters=bytes(512))
    assert rules(package(replace(one, dma_hints=(one.dma_hints[0], *halves, *one.dma_hints[2:])))) == [
        "parameters-streamed"
    ]


def test_a_list_that_does_not_claim_to_be_whole_is_not_judged():
    assert rules(inference(dma_hints=(), fully_deterministic=False)) == []


def test_scratch_memory_may_move_any_number_of_times():
    spill = DmaHint("descriptor", "outfeed", "scratch", size=64)
    assert rules(package(with_more(spill, spill)(program(scratch_bytes=64)))) == ["host-scratch"]


LAYERS = {
    "another size": ({"inputs": (layer("in", 4, 4, 4),)}, "layer-size", "64 values in 64 bytes for 128"),
    "too few bytes": (
        {"inputs": (replace(layer("in", 4, 4, 8), size_bytes=120),)},
        "layer-size",
        "128 values in 120 bytes for 128",
    ),
    "another type": ({"inputs": (layer("in", 4, 4, 8, data_type="int8"),)}, "layer-type", "int8 for uint8"),
    "another name": ({"inputs": (layer("renamed", 4, 4, 8),)}, "layer-name", "renamed"),
    "another scale": (
        {"inputs": (layer("in", 4, 4, 8, scale=0.25),)},
        "layer-quantization",
        "program: 0.25 and 3; model: 0.5 and 3",
    ),
    "another zero point": (
        {"inputs": (layer("in", 4, 4, 8, zero_point=4),)},
        "layer-quantization",
        "program: 0.5 and 4; model: 0.5 and 3",
    ),
    "one input too many": (
        {"inputs": (layer("in", 4, 4, 8), layer("more", 1, 1, 8))},
        "layer-count",
        "2 inputs for 1 tensors",
    ),
    "no output": ({"outputs": ()}, "layer-count", "0 outputs for 1 tensors"),
}


@pytest.mark.parametrize("case", LAYERS)
def test_the_program_must_fit_the_tensors_of_its_operator(case: str):
    changes, rule, measured = LAYERS[case]
    changed = package(with_transfers(program(**changes)), program("PARAMETER_CACHING", parameters=bytes(512)))
    (finding,) = found(changed, promised=package())
    assert (finding.rule, finding.measured) == (rule, measured)


def test_int8_counts_from_128_below():
    signed = package(program(inputs=(layer("in", 4, 4, 8, data_type="int8", zero_point=0),)))
    assert rules(signed) == []  # the tensor's own zero point is -128


def test_recurrent_layers_move_several_times():
    several = replace(layer("in", 4, 4, 8), executions=3)
    flat = package(program(inputs=(layer("in", 4, 4, 24),)))
    changed = package(replace(program(), inputs=(several,)))
    assert rules(changed, promised=flat) == []


def test_many_findings_of_one_rule_are_cut_short():
    renamed = tuple(layer(f"renamed{i}", 1, 1, 8) for i in range(100))
    promised = package(program(inputs=tuple(layer(f"in{i}", 1, 1, 8) for i in range(100))))
    findings = found(package(with_transfers(program(inputs=renamed))), promised=promised)
    assert len(findings) == 33
    assert findings[-1].measured == "and 68 more"


def test_every_rule_says_what_to_do_and_how_it_is_known():
    for rule in inspection_rules().values():
        assert rule.reason.endswith(".") and rule.fix.endswith(".")
        kinds = [evidence.kind for evidence in rule.evidence]
        assert kinds and kinds == sorted(kinds, key=EVIDENCE_KINDS.index), rule.id


def test_an_error_is_never_only_inferred():
    for rule in inspection_rules().values():
        if rule.severity == "error":
            assert {evidence.kind for evidence in rule.evidence} & {"measured on pairs", "documented"}, rule.id
