"""What the doctor says of the runtime and the devices of recorded machines."""

from __future__ import annotations

import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.errors import InputError
from coralsmith.runtime.doctor import examine_devices, examine_model, examine_runtime
from coralsmith.runtime.machine import ThisMachine
from tests.runtime.recorded_machine import (
    GOOGLE,
    LIBRARY,
    RecordedMachine,
    debian_package,
    pci_device,
    usb_device,
)

USB = usb_device("2-1", "18d1", "9302", 2, 4, "5000")
NODE = "/dev/bus/usb/002/004"


def states(facts) -> dict[str, str]:
    return {fact.name: fact.state for fact in facts}


def test_a_machine_that_works():
    files = debian_package("libedgetpu1-std", "16.0tf2.19.1-1") | USB
    machine = RecordedMachine(files, {NODE}, {"ai-edge-litert": "2.2.0"}, {LIBRARY: GOOGLE})
    facts = [*examine_runtime(machine), *examine_devices(machine)]
    assert {fact.state for fact in facts} == {"ok"}
    assert [fact.part for fact in facts] == ["runtime"] * 4 + ["device"] * 2
    assert "runtime 14" in facts[3].value and "USB 3" in facts[4].value


def test_an_untried_pair_is_unknown_and_googles_build_fails():
    def pair(version: str) -> tuple[str, str]:
        machine = RecordedMachine(debian_package("libedgetpu1-std", version), libraries={LIBRARY: GOOGLE})
        (fact,) = [fact for fact in examine_runtime(machine) if "with" in fact.name]
        return fact.state, fact.fix

    assert pair("16.0tf2.19.1-1")[0] == "unknown"
    state, fix = pair("16.0")
    assert state == "fail" and "16.0tf2.19.1" in fix


def test_no_interpreter_and_no_library_come_with_the_command():
    facts = {fact.name: fact for fact in examine_runtime(RecordedMachine(distributions={}))}
    assert facts["ai-edge-litert"].fix == "pip install ai-edge-litert"
    assert facts["libedgetpu"].state == "fail" and "dpkg -i" in facts["libedgetpu"].fix


def test_another_interpreter_is_looked_at_where_there_is_one():
    packages = {"ai-edge-litert": "2.3.0", "tflite-runtime": "2.14.0"}
    machine = RecordedMachine(debian_package("libedgetpu1-std", "16.0"), set(), packages, {LIBRARY: GOOGLE})
    assert states(examine_runtime(machine))["libedgetpu with tflite-runtime"] == "fail"


def test_a_library_that_does_not_load_names_what_it_needs():
    facts = {fact.name: fact for fact in examine_runtime(RecordedMachine(libraries={LIBRARY: ""}))}
    assert facts["libedgetpu"].state == "fail" and "libusb-1.0-0" in facts["libedgetpu"].fix


def test_no_device():
    (fact,) = examine_devices(RecordedMachine())
    assert (fact.state, "1a6e:089a" in fact.fix, "1ac1:089a" in fact.fix) == ("fail", True, True)


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_devices_of_other_systems_are_unknown(system):
    (fact,) = examine_devices(RecordedMachine(system=system))
    assert fact.state == "unknown" and system in fact.value


def test_missing_rights_come_with_the_rule_for_both_identities():
    facts = {fact.name: fact for fact in examine_devices(RecordedMachine(USB))}
    rights = facts["USB Accelerator 2-1 rights"]
    assert rights.state == "fail" and NODE in rights.value
    assert all(word in rights.fix for word in ("1a6e", "089a", "18d1", "9302", "plugdev", "udevadm"))


def test_a_usb_2_link_works_and_is_advised_against():
    facts = examine_devices(
        RecordedMachine(usb_device("1-1", "18d1", "9302", 1, 3, "480"), {"/dev/bus/usb/001/003"})
    )
    assert facts[0].state == "ok" and "USB 2" in facts[0].value and "USB 3" in facts[0].fix


def test_a_card_without_its_driver_and_one_without_rights():
    card = pci_device("0000:01:00.0", "0x1ac1", "0x089a")
    (bare,) = examine_devices(RecordedMachine(card))
    assert bare.state == "fail" and "gasket" in bare.fix
    found, rights = examine_devices(RecordedMachine(card | {"/dev/apex_0": ""}))
    assert (found.state, rights.state) == ("ok", "fail") and "apex" in rights.fix


def test_a_model_that_needs_a_newer_runtime_fails(shared):
    model = shared / "edgetpu" / "pairs" / "libredge__dense_256" / "model_edgetpu.tflite"
    needed = read_compiled(model).packages[0].min_runtime

    def runs(version: int) -> str:
        label = GOOGLE.replace("14", str(version))
        (fact,) = examine_model(model, RecordedMachine(libraries={LIBRARY: label}))
        assert str(needed) in fact.value
        return fact.state

    assert (runs(needed), runs(needed + 1), runs(needed - 1)) == ("ok", "ok", "fail")
    assert examine_model(model, RecordedMachine())[0].state == "unknown"


def test_a_model_that_is_not_compiled_or_not_there(shared, tmp_path):
    source = sorted((shared / "edgetpu" / "pairs").glob("*/model.tflite"))[0]
    assert examine_model(source, RecordedMachine())[0].state == "ok"
    with pytest.raises(InputError, match="cannot be read"):
        examine_model(tmp_path / "none.tflite", RecordedMachine())


def test_this_machine_can_be_looked_at():
    facts = examine_runtime(ThisMachine())
    assert states(facts)["ai-edge-litert"] == "ok"
    assert examine_devices(ThisMachine())
