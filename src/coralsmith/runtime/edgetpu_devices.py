"""The Edge TPUs of a machine, read off the files in which Linux describes its buses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from coralsmith.runtime.machine import Machine

USB_BEFORE_USE: Final = ("1a6e", "089a")
"""Vendor and product of the USB Accelerator before its first use: a loader that waits for its firmware."""

USB_IN_USE: Final = ("18d1", "9302")
"""Vendor and product once libedgetpu has given it its firmware, at the first use after each start."""

PCI: Final = ("0x1ac1", "0x089a")
"""Vendor and device of the M.2 and Mini PCIe cards and of the Dev Board's module."""

_USB_FOLDER: Final = "/sys/bus/usb/devices"
_PCI_FOLDER: Final = "/sys/bus/pci/devices"
_APEX_NAME: Final = re.compile(r"apex_\d+")
_SUPER_SPEED: Final = 5000.0


@dataclass(frozen=True)
class EdgeTpu:
    """One Edge TPU.

    Attributes:
        bus: How it is connected.
        place: Its name on the bus, e.g. "2-1" or "0000:01:00.0".
        node: The device file that programs open; None for a card without one, since its driver is not loaded.
        megabits: Speed of the USB link in Mbit/s, where it is told.
        has_firmware: Whether a USB device was given its firmware already.
    """

    bus: Literal["usb", "pci"]
    place: str
    node: str | None
    megabits: float | None = None
    has_firmware: bool = True

    @property
    def is_slow(self) -> bool:
        """Whether it hangs on a USB 2 port, or behind a USB 2 cable or hub."""
        return self.megabits is not None and self.megabits < _SUPER_SPEED


def edgetpus(machine: Machine) -> list[EdgeTpu]:
    """The Edge TPUs of a Linux machine, those on USB first; of another system, none is seen."""
    return [*_on_usb(machine), *_on_pci(machine)]


def _on_usb(machine: Machine) -> Iterator[EdgeTpu]:
    for place in machine.entries(_USB_FOLDER):
        folder = f"{_USB_FOLDER}/{place}"
        identity = (_word(machine, f"{folder}/idVendor"), _word(machine, f"{folder}/idProduct"))
        if identity not in (USB_BEFORE_USE, USB_IN_USE):
            continue
        bus, number = (_word(machine, f"{folder}/{name}") for name in ("busnum", "devnum"))
        numbered = bus.isdigit() and number.isdigit()
        node = f"/dev/bus/usb/{int(bus):03d}/{int(number):03d}" if numbered else None
        speed = _word(machine, f"{folder}/speed")
        megabits = float(speed) if re.fullmatch(r"\d+(\.\d+)?", speed) else None
        yield EdgeTpu("usb", place, node, megabits, identity == USB_IN_USE)


def _on_pci(machine: Machine) -> Iterator[EdgeTpu]:
    nodes = [f"/dev/{name}" for name in machine.entries("/dev") if _APEX_NAME.fullmatch(name)]
    places = []
    for place in machine.entries(_PCI_FOLDER):
        folder = f"{_PCI_FOLDER}/{place}"
        if (_word(machine, f"{folder}/vendor"), _word(machine, f"{folder}/device")) == PCI:
            places.append(place)
    # A container may show the device files without the bus; a card without its driver has no device file.
    for index in range(max(len(places), len(nodes))):
        place = places[index] if index < len(places) else "?"
        yield EdgeTpu("pci", place, nodes[index] if index < len(nodes) else None)


def _word(machine: Machine, path: str) -> str:
    return (machine.text(path) or "").strip().lower()
