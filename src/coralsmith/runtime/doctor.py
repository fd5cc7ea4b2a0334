"""What `coralsmith doctor` says about the runtime and the devices: what is there, whether it fits, and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coralsmith.findings import MachineFact
from coralsmith.runtime.edgetpu_devices import EdgeTpu, edgetpus
from coralsmith.runtime.edgetpu_library import Library, find_library, judge_pair
from coralsmith.runtime.machine import Machine, ThisMachine

RUNTIME: Final = "runtime"
DEVICE: Final = "device"
MODEL: Final = "model"

INTERPRETERS: Final = ("ai-edge-litert", "tflite-runtime")
"""Python distributions that run `.tflite` models; coralsmith uses the first."""

_PYTHONS: Final = ("3.11", "3.12", "3.13")

_GET_LIBRARY: Final = {
    "Linux": (
        "Google's own package (16.0) crashes under today's interpreters. Install the maintained rebuild "
        "libedgetpu1-std 16.0tf2.19.1 (.deb for Debian and Ubuntu, amd64, arm64, armhf), from the releases of "
        "feranick/libedgetpu on GitHub: sudo dpkg -i libedgetpu1-std_*.deb"
    ),
    "Darwin": "Build it from feranick/libedgetpu (make); put libedgetpu.1.dylib into /usr/local/lib.",
    "Windows": "Run install.bat of Google's edgetpu_runtime package (2022-10-24) as administrator.",
}
_USB_RIGHTS: Final = (
    'echo \'SUBSYSTEM=="usb", ATTR{idVendor}=="1a6e", ATTR{idProduct}=="089a", GROUP="plugdev"\n'
    'SUBSYSTEM=="usb", ATTR{idVendor}=="18d1", ATTR{idProduct}=="9302", GROUP="plugdev"\' | '
    "sudo tee /etc/udev/rules.d/60-edgetpu.rules\n"
    "sudo usermod -aG plugdev $USER && sudo udevadm control --reload-rules && sudo udevadm trigger\n"
    "Log out and in again. In a container: pass /dev/bus/usb through, not one device, since its number changes."
)
_APEX_RIGHTS: Final = (
    'echo \'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"\' | sudo tee /etc/udev/rules.d/65-apex.rules\n'
    "sudo groupadd -f apex && sudo usermod -aG apex $USER && sudo udevadm control --reload-rules && "
    "sudo udevadm trigger\n"
    "Log out and in again. In a container: --device /dev/apex_0."
)
_APEX_DRIVER: Final = (
    "Its driver is not loaded: install the package gasket-dkms with the headers of your kernel (maintained as "
    "feranick/gasket-driver), then: sudo modprobe apex"
)
_NO_DEVICE: Final = (
    "USB: plug the accelerator in; `lsusb` shows 1a6e:089a before its first use and 18d1:9302 after it. Use a "
    "port with power enough (900 mA).\n"
    "M.2 or Mini PCIe: `lspci -nn` shows 1ac1:089a; if not, the slot has no PCIe lane for it.\n"
    "In a virtual machine or a container: pass the device through."
)
_USB_2: Final = (
    "It works, but slowly (an SSD MobileNetV2 was measured with 18 ms on USB 3 and 58 ms on USB 2): use a USB 3 "
    "port and the cable it came with."
)


def examine_runtime(machine: Machine | None = None) -> list[MachineFact]:
    """Look at Python, the interpreters and libedgetpu, and whether they are known to work together."""
    machine = machine or ThisMachine()
    library = find_library(machine)
    return [_python(machine), *_interpreters(machine, library), *_library(machine, library)]


def examine_devices(machine: Machine | None = None) -> list[MachineFact]:
    """Look for Edge TPUs, and whether this user may use them."""
    machine = machine or ThisMachine()
    if machine.system != "Linux":
        return [MachineFact(DEVICE, "found", "unknown", f"devices are not looked for on {machine.system}")]
    devices = edgetpus(machine)
    if not devices:
        return [MachineFact(DEVICE, "found", "fail", "no Edge TPU on USB or PCIe", _NO_DEVICE)]
    return [fact for device in devices for fact in _device(machine, device)]


def examine_model(model: Path, machine: Machine | None = None) -> list[MachineFact]:
    """Whether the installed runtime is new enough for a compiled model.

    Raises:
        InputError: The file cannot be read, or is no model.
    """
    from coralsmith.compiled.package import read_compiled  # here: without a model doctor answers at once

    name = f"{model.name} runs"
    packages = read_compiled(model).packages
    if not packages:
        return [MachineFact(MODEL, name, "ok", "it is not compiled for the Edge TPU and runs on the CPU")]
    needed = max(package.min_runtime for package in packages)
    library = find_library(machine or ThisMachine())
    if library is None or library.runtime is None:
        return [MachineFact(MODEL, name, "unknown", f"needs runtime {needed}; none is installed")]
    value = f"needs runtime {needed}, installed is {library.runtime}"
    if needed <= library.runtime:
        return [MachineFact(MODEL, name, "ok", value)]
    again = f"coralsmith compile MODEL_int8.tflite --min-runtime {library.runtime}"
    fix = f"Install a newer libedgetpu, or compile again for this one: {again}"
    return [MachineFact(MODEL, name, "fail", value, fix)]


def _python(machine: Machine) -> MachineFact:
    known = machine.python.rpartition(".")[0] in _PYTHONS
    value = f"{machine.python} on {machine.system}, {machine.processor}"
    return MachineFact(RUNTIME, "Python", "ok" if known else "unknown", value)


def _interpreters(machine: Machine, library: Library | None) -> Iterator[MachineFact]:
    """The interpreters, each with its place beside the library."""
    for number, name in enumerate(INTERPRETERS):
        version = machine.distribution(name)
        if version is None and number == 0:
            yield MachineFact(RUNTIME, name, "fail", "not installed", f"pip install {name}")
        if version is None:
            continue
        yield MachineFact(RUNTIME, name, "ok", version)
        if library is not None:
            yield _pair(library, name, version)


def _pair(library: Library, interpreter: str, version: str) -> MachineFact:
    name = f"libedgetpu with {interpreter}"
    state, evidence = judge_pair(library.version, interpreter, version)
    both = f"{library.version or 'a build of unknown origin'} with {version}"
    if state == "ok":
        return MachineFact(RUNTIME, name, state, f"{both}: known to work ({evidence})")
    if state == "fail":
        return MachineFact(RUNTIME, name, state, f"{both}: known to fail ({evidence})", _GET_LIBRARY["Linux"])
    advice = (
        "A pair that does not fit crashes at the first inference, it does not say why. Try it with\n"
        "  coralsmith profile MODEL_edgetpu.tflite\n"
        "and if it crashes, use libedgetpu 16.0tf2.19.1 with ai-edge-litert 2.2 in an environment of its own."
    )
    return MachineFact(RUNTIME, name, state, f"{both}: nobody is known to have tried", advice)


def _library(machine: Machine, library: Library | None) -> Iterator[MachineFact]:
    fix = _GET_LIBRARY.get(machine.system, "")
    if library is None:
        yield MachineFact(RUNTIME, "libedgetpu", "fail", "not found", fix)
        return
    origin = "" if library.package is None else f", {library.package} {library.version}"
    if library.runtime is None:
        needs = "It needs libusb-1.0 beside it: sudo apt install libusb-1.0-0\n"
        yield MachineFact(RUNTIME, "libedgetpu", "fail", f"{library.path}{origin}: {library.trouble}", needs + fix)
    else:
        yield MachineFact(RUNTIME, "libedgetpu", "ok", f"{library.path}{origin}, runtime {library.runtime}")


def _device(machine: Machine, device: EdgeTpu) -> Iterator[MachineFact]:
    kind = "USB Accelerator" if device.bus == "usb" else "PCIe card"
    name = f"{kind} {device.place}"
    if device.node is None:
        yield MachineFact(DEVICE, name, "fail", "found, but it has no device file", _APEX_DRIVER)
        return
    state = "" if device.has_firmware else ", waits for its first use"
    link = "" if device.megabits is None else f", {'USB 2' if device.is_slow else 'USB 3'}"
    yield MachineFact(DEVICE, name, "ok", f"{device.node}{link}{state}", _USB_2 if device.is_slow else "")
    if not machine.may_use(device.node):
        fix = _USB_RIGHTS if device.bus == "usb" else _APEX_RIGHTS
        yield MachineFact(DEVICE, f"{name} rights", "fail", f"this user may not use {device.node}", fix)
    else:
        yield MachineFact(DEVICE, f"{name} rights", "ok", f"this user may use {device.node}")
