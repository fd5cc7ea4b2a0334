"""Edge TPUs are found on USB and PCIe by what Linux says of its buses."""

from __future__ import annotations

from coralsmith.runtime.edgetpu_devices import edgetpus
from tests.runtime.recorded_machine import RecordedMachine, pci_device, root_hub, usb_device


def test_a_usb_accelerator_before_its_first_use_waits_for_its_firmware():
    machine = RecordedMachine(root_hub(2) | usb_device("2-1", "1a6e", "089a", 2, 4, "5000"))
    (device,) = edgetpus(machine)
    assert (device.bus, device.place, device.node) == ("usb", "2-1", "/dev/bus/usb/002/004")
    assert not device.has_firmware and not device.is_slow


def test_a_usb_accelerator_in_use_has_another_identity():
    (device,) = edgetpus(RecordedMachine(usb_device("4-1.2", "18d1", "9302", 4, 12, "5000")))
    assert device.has_firmware and device.node == "/dev/bus/usb/004/012"


def test_a_usb_2_link_is_slow():
    (device,) = edgetpus(RecordedMachine(usb_device("1-3", "18d1", "9302", 1, 5, "480")))
    assert device.is_slow and device.megabits == 480.0


def test_a_card_has_a_device_file_where_its_driver_is_loaded():
    card = pci_device("0000:00:00.0", "0x8086", "0x1237") | pci_device("0000:01:00.0", "0x1ac1", "0x089a")
    (bare,) = edgetpus(RecordedMachine(card))
    (driven,) = edgetpus(RecordedMachine(card | {"/dev/apex_0": ""}))
    assert (bare.place, bare.node) == ("0000:01:00.0", None)
    assert (driven.bus, driven.place, driven.node) == ("pci", "0000:01:00.0", "/dev/apex_0")


def test_a_container_may_show_the_device_file_alone():
    (device,) = edgetpus(RecordedMachine({"/dev/apex_0": "", "/dev/apex": "", "/dev/apex_control": ""}))
    assert (device.place, device.node) == ("?", "/dev/apex_0")


def test_all_of_several_are_found_usb_first():
    files = pci_device("0000:03:00.0", "0x1ac1", "0x089a") | pci_device("0000:04:00.0", "0x1ac1", "0x089a")
    files |= {"/dev/apex_0": "", "/dev/apex_1": ""} | usb_device("2-2", "1a6e", "089a", 2, 9, "5000")
    assert [device.bus for device in edgetpus(RecordedMachine(files))] == ["usb", "pci", "pci"]


def test_other_devices_of_google_and_damaged_entries_are_none():
    files = usb_device("1-1", "18d1", "4ee1", 1, 2, "480") | {"/sys/bus/usb/devices/1-2/idVendor": "1a6e\n"}
    assert edgetpus(RecordedMachine(files)) == []


def test_an_unreadable_number_or_speed_leaves_it_without_a_device_file():
    files = usb_device("2-1", "1a6e", "089a", 2, 4, "5000")
    files |= {"/sys/bus/usb/devices/2-1/devnum": "four", "/sys/bus/usb/devices/2-1/speed": "unknown"}
    (device,) = edgetpus(RecordedMachine(files))
    assert (device.node, device.megabits, device.is_slow) == (None, None, False)
