"""A stand-in that speaks the recorded format of the Edge TPU compiler; it compiles nothing.

It tests the protocol (files, exit codes, text), never the quality of a result. What it does is chosen by the
environment variable STAND_IN_SCENARIO; in the scenario "success" it hands out the real compiler's own output of
a published pair, whose path is in STAND_IN_OUTPUT.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

VERSION = "16.0.384591198"
FULLY_MAPPED = (("QUANTIZE", 2, "Mapped to Edge TPU"), ("FULLY_CONNECTED", 1, "Mapped to Edge TPU"))
NOTHING_MAPPED = (
    ("QUANTIZE", 2, "Operation is working on an unsupported data type"),
    ("FULLY_CONNECTED", 1, "Operation is working on an unsupported data type"),
)


def table(rows) -> str:
    header = "Operator                       Count      Status\n\n"
    return header + "".join(f"{kind:<31}{count:<11}{status}\n" for kind, count, status in rows)


def write_log(folder: Path, source: str, rows) -> None:
    output = f"Input: {source}\nOutput: {folder}/model_edgetpu.tflite\n\n"
    (folder / "model_edgetpu.log").write_text(f"Edge TPU Compiler version {VERSION}\n{output}{table(rows)}")


def announce(folder: Path, source: str, rows, subgraphs: int) -> None:
    print(
        f"Edge TPU Compiler version {VERSION}\n"
        "Started a compilation timeout timer of 180 seconds.\n\n"
        "Model compiled successfully in 12 ms.\n\n"
        f"Input model: {source}\nInput size: 68.43KiB\n"
        f"Output model: {folder}/model_edgetpu.tflite\nOutput size: 100.62KiB\n"
        "On-chip memory used for caching model parameters: 66.00KiB\n"
        "On-chip memory remaining for caching model parameters: 7.67MiB\n"
        "Off-chip memory used for streaming uncached model parameters: 0.00B\n"
        f"Number of Edge TPU subgraphs: {subgraphs}\nTotal number of operations: 3\n"
        f"Operation log: {folder}/model_edgetpu.log\n\n{table(rows)}"
        "Compilation child process completed within timeout period.\nCompilation succeeded! "
    )


def success(folder: Path, source: str) -> int:
    write_log(folder, source, FULLY_MAPPED)
    announce(folder, source, FULLY_MAPPED, subgraphs=1)
    shutil.copyfile(os.environ["STAND_IN_OUTPUT"], folder / "model_edgetpu.tflite")
    return 0


def zero_mapped(folder: Path, source: str) -> int:
    write_log(folder, source, NOTHING_MAPPED)
    announce(folder, source, NOTHING_MAPPED, subgraphs=0)
    shutil.copyfile(source, folder / "model_edgetpu.tflite")
    return 0


def no_custom_operator(folder: Path, source: str) -> int:
    write_log(folder, source, FULLY_MAPPED)
    announce(folder, source, FULLY_MAPPED, subgraphs=1)
    shutil.copyfile(source, folder / "model_edgetpu.tflite")
    return 0


def stub(folder: Path, source: str) -> int:
    write_log(folder, source, FULLY_MAPPED)
    announce(folder, source, FULLY_MAPPED, subgraphs=1)
    (folder / "model_edgetpu.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(1016))
    return 0


def refused(folder: Path, source: str) -> int:
    print(f"Edge TPU Compiler version {VERSION}")
    print(
        "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '5'. An older version of this builtin might "
        "be supported. Are you using an old TFLite binary with a newer model?\n"
        "ERROR: Registration failed.\n\nInvalid model: model.tflite\nModel could not be parsed",
        file=sys.stderr,
    )
    return 1


def crash(folder: Path, source: str) -> int:
    print(f"Edge TPU Compiler version {VERSION}", flush=True)
    (folder / "model_edgetpu.tflite").write_bytes(bytes(1024))
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def hang(folder: Path, source: str) -> int:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["STAND_IN_CHILD"]).write_text(str(child.pid))
    time.sleep(600)
    return 0


def garbage(folder: Path, source: str) -> int:
    block = bytes(range(256)) * 4096
    for _ in range(20):
        sys.stdout.buffer.write(block)
    return 0


def silent(folder: Path, source: str) -> int:
    return 3


def main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"Edge TPU Compiler version {VERSION}")
        return 0
    folder = Path(arguments[arguments.index("-o") + 1])
    if any(" " in argument for argument in arguments) or not folder.is_dir():
        print("Internal compiler error. Aborting! ")
        return 1
    return globals()[os.environ["STAND_IN_SCENARIO"]](folder, arguments[-1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
