"""Machines that are not here: what their files held, as people's `lsusb -v`, `lspci -nn` and `ls -l` show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from coralsmith.errors import MachineError

GOOGLE = "BuildLabel(COMPILER=6.3.0 20170516,DATE=redacted,TIME=redacted), RuntimeVersion(14)"
LIBRARY = "/usr/lib/x86_64-linux-gnu/libedgetpu.so.1"


@dataclass
class RecordedMachine:
    """A stand-in for a machine: paths with their contents, devices that the user may use, installed packages."""

    files: dict[str, str] = field(default_factory=dict)
    usable: set[str] = field(default_factory=set)
    distributions: dict[str, str] = field(default_factory=lambda: {"ai-edge-litert": "2.3.0"})
    libraries: dict[str, str] = field(default_factory=dict)
    system: str = "Linux"
    processor: str = "x86_64"
    python: str = "3.12.3"

    def entries(self, folder: str) -> list[str]:
        inside = {
            path.removeprefix(f"{folder}/").split("/")[0] for path in self.files if path.startswith(f"{folder}/")
        }
        return sorted(inside)

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.libraries

    def may_use(self, path: str) -> bool:
        return path in self.usable

    def distribution(self, name: str) -> str | None:
        return self.distributions.get(name)

    def library_version(self, path: str) -> str:
        if not self.libraries[path]:
            raise MachineError(f"'{path}' cannot be loaded: libusb-1.0.so.0: cannot open shared object file.")
        return self.libraries[path]


def usb_device(place: str, vendor: str, product: str, bus: int, number: int, speed: str) -> dict[str, str]:
    """One folder of /sys/bus/usb/devices, and the device file."""
    folder = f"/sys/bus/usb/devices/{place}"
    values = {"idVendor": vendor, "idProduct": product, "busnum": str(bus), "devnum": str(number), "speed": speed}
    node = f"/dev/bus/usb/{bus:03d}/{number:03d}"
    return {f"{folder}/{name}": f"{value}\n" for name, value in values.items()} | {node: ""}


def root_hub(bus: int) -> dict[str, str]:
    return usb_device(f"usb{bus}", "1d6b", "0003", bus, 1, "5000")


def pci_device(place: str, vendor: str, device: str) -> dict[str, str]:
    folder = f"/sys/bus/pci/devices/{place}"
    return {f"{folder}/vendor": f"{vendor}\n", f"{folder}/device": f"{device}\n"}


def debian_package(name: str, version: str) -> dict[str, str]:
    status = f"""Package: libc6
Status: install ok installed
Version: 2.36-9
Description: GNU C Library: Shared libraries
 Contains the standard libraries.

Package: {name}
Status: install ok installed
Architecture: amd64
Version: {version}
Depends: libc6 (>= 2.14), libusb-1.0-0
Description: Support library for Edge TPU
"""
    return {"/var/lib/dpkg/status": status}
