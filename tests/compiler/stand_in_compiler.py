"""A stand-in that speaks the recorded format of the Edge TPU compiler; it compiles nothing.

It tests the protocol (files, exit codes, text), never the quality of a result, and no figure may come from it.
What it does is chosen by environment variables:

    STAND_IN_SCENARIO   the function below that acts
    STAND_IN_OUTPUT     the file handed out as output: the real compiler's own, of a published pair
    STAND_IN_ROWS       the operator table, as JSON rows [kind, count, status]
    STAND_IN_VERSION    the version whose format is spoken
    STAND_IN_STATE      a folder for what is remembered from run to run
    STAND_IN_SAYS       what the scenario "says" prints, and STAND_IN_CODE how it ends
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

VERSION = os.environ.get("STAND_IN_VERSION", "16.0.384591198")
MAJOR = int(VERSION.partition(".")[0])
FULLY_MAPPED = [["QUANTIZE", 2, "Mapped to Edge TPU"], ["FULLY_CONNECTED", 1, "Mapped to Edge TPU"]]
MAPPED = "Mapped to Edge TPU"
UNSUPPORTED = "Operation is working on an unsupported data type"


class Run:
    """The arguments of one call, and what is printed about it."""

    def __init__(self, arguments: list[str]) -> None:
        self.models = [argument for argument in arguments if argument.endswith(".tflite")]
        self.folder = Path(arguments[arguments.index("-o") + 1])
        self.segments = int(arguments[arguments.index("-n") + 1]) if "-n" in arguments else 1
        self.rows = json.loads(os.environ.get("STAND_IN_ROWS", "null")) or FULLY_MAPPED
        self.source = self.models[0]

    @property
    def output(self) -> Path:
        return self.folder / f"{Path(self.source).stem}_edgetpu.tflite"

    def table(self) -> str:
        header = "Operator                       Count      Status\n\n"
        return header + "".join(f"{kind:<31}{count:<11}{status}\n" for kind, count, status in self.rows)

    def write_log(self, output: Path) -> None:
        names = f"Input: {self.source}\nOutput: {output}\n\n"
        output.with_suffix(".log").write_text(f"Edge TPU Compiler version {VERSION}\n{names}{self.table()}")

    def announce(self, output: Path, subgraphs: int) -> None:
        """The lines about one output, in the order and form of the version."""
        total = sum(count for _, count, _ in self.rows)
        unmapped = sum(count for _, count, status in self.rows if status != MAPPED)
        first = {2: "available for caching model parameters: 7.62MiB\n"} if VERSION.startswith("2.0") else {}
        print(
            "\nModel compiled successfully in 12 ms.\n\n"
            f"Input model: {self.source}\nInput size: {size(Path(self.source))}\n"
            f"Output model: {output}\nOutput size: {size(output)}\n"
            + (f"On-chip memory {first[2]}" if first else "")
            + "On-chip memory used for caching model parameters: 66.00KiB\n"
            + ("" if first else "On-chip memory remaining for caching model parameters: 7.67MiB\n")
            + "Off-chip memory used for streaming uncached model parameters: 0.00B\n"
            f"Number of Edge TPU subgraphs: {subgraphs}\nTotal number of operations: {total}\n"
            f"Operation log: {output.with_suffix('.log')}\n"
        )
        if unmapped:
            print(
                "Model successfully compiled but not all operations are supported by the Edge TPU. A percentage "
                "of the model will instead run on the CPU, which is slower. If possible, consider updating your "
                "model to use only operations supported by the Edge TPU. For details, visit "
                "g.co/coral/model-reqs.\n"
                f"Number of operations that will run on Edge TPU: {total - unmapped}\n"
                f"Number of operations that will run on CPU: {unmapped}\n"
            )
        print(self.table(), end="")

    def begin(self) -> None:
        print(f"Edge TPU Compiler version {VERSION}")
        if MAJOR >= 16:
            print("Started a compilation timeout timer of 180 seconds.")

    def end(self, succeeded: bool = True) -> None:
        if MAJOR >= 16:
            print("Compilation child process completed within timeout period.")
            print("Compilation succeeded! " if succeeded else "Compilation failed! ")

    def hand_out(self, output: Path, subgraphs: int = 1) -> None:
        shutil.copyfile(os.environ["STAND_IN_OUTPUT"], output)
        self.write_log(output)
        self.announce(output, subgraphs)


def size(path: Path) -> str:
    count = path.stat().st_size
    for factor, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= factor:
            return f"{count / factor:.2f}{unit}"
    return f"{count:.2f}B"


def runs_before() -> int:
    """How many runs there were before this one; counts this one."""
    state = Path(os.environ["STAND_IN_STATE"])
    number = len(list(state.glob("run-*")))
    (state / f"run-{number}-{os.getpid()}").touch()
    return number


def success(run: Run) -> int:
    run.begin()
    run.hand_out(run.output)
    run.end()
    return 0


def slow_success(run: Run) -> int:
    (Path(os.environ["STAND_IN_STATE"]) / "started").touch()
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "1")))
    return success(run)


def counted_success(run: Run) -> int:
    runs_before()
    return success(run)


def several_models(run: Run) -> int:
    run.begin()
    for model in run.models:
        run.source = model
        run.hand_out(run.output)
    run.end()
    return 0


def several_segments(run: Run) -> int:
    run.begin()
    for index in range(run.segments):
        run.hand_out(run.folder / f"model_segment_{index}_of_{run.segments}_edgetpu.tflite")
    run.end()
    return 0


def segment_missing(run: Run) -> int:
    several_segments(run)
    (run.folder / f"model_segment_0_of_{run.segments}_edgetpu.tflite").unlink()
    return 0


def fails_twice(run: Run) -> int:
    if runs_before() < 2:
        print(f"Edge TPU Compiler version {VERSION}\n\nInternal compiler error. Aborting! ")
        return 1
    return success(run)


def zero_mapped(run: Run) -> int:
    run.rows = [[kind, count, UNSUPPORTED] for kind, count, _ in run.rows]
    run.begin()
    shutil.copyfile(run.source, run.output)
    run.write_log(run.output)
    run.announce(run.output, subgraphs=0)
    run.end()
    return 0


def no_custom_operator(run: Run) -> int:
    run.begin()
    shutil.copyfile(run.source, run.output)
    run.write_log(run.output)
    run.announce(run.output, subgraphs=1)
    run.end()
    return 0


def no_table(run: Run) -> int:
    shutil.copyfile(os.environ["STAND_IN_OUTPUT"], run.output)
    print(f"Edge TPU Compiler version {VERSION}\n\nModel compiled successfully in 12 ms.")
    return 0


def wrong_counts(run: Run) -> int:
    run.rows = [*run.rows, ["ADD", 1, "More than one subgraph is not supported"]]
    return success(run)


def wrong_size(run: Run) -> int:
    run.begin()
    run.hand_out(run.output)
    run.end()
    with run.output.open("ab") as stream:
        stream.write(bytes(20_000))
    return 0


def stub(run: Run) -> int:
    run.begin()
    run.output.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(1016))
    run.write_log(run.output)
    run.announce(run.output, subgraphs=1)
    run.end()
    return 0


def link(run: Run) -> int:
    """The output is a link to a file that the compiler did not write."""
    run.begin()
    run.output.symlink_to(os.environ["STAND_IN_OUTPUT"])
    run.announce(run.output, subgraphs=1)
    run.end()
    return 0


def claims_failure(run: Run) -> int:
    run.begin()
    shutil.copyfile(os.environ["STAND_IN_OUTPUT"], run.output)
    run.end(succeeded=False)
    return 0


def refused(run: Run) -> int:
    print(f"Edge TPU Compiler version {VERSION}")
    print(
        "ERROR: Didn't find op for builtin opcode 'FULLY_CONNECTED' version '1'. An older version of this builtin "
        "might be supported. Are you using an old TFLite binary with a newer model?\n"
        "ERROR: Registration failed.\n\nInvalid model: model.tflite\nModel could not be parsed",
        file=sys.stderr,
    )
    return 1


def says(run: Run) -> int:
    print(os.environ["STAND_IN_SAYS"])
    return int(os.environ.get("STAND_IN_CODE", "1"))


def crash(run: Run) -> int:
    print(f"Edge TPU Compiler version {VERSION}", flush=True)
    run.output.write_bytes(bytes(1024))
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def killed_half_way(run: Run) -> int:
    run.begin()
    whole = Path(os.environ["STAND_IN_OUTPUT"]).read_bytes()
    run.output.write_bytes(whole[: len(whole) // 2])
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def garbage(run: Run) -> int:
    block = bytes(range(256)) * 4096
    for _ in range(6):
        sys.stdout.buffer.write(block)
    return 0


def huge_log(run: Run) -> int:
    """100 MB of lines before the result."""
    run.begin()
    sys.stdout.flush()
    block = (b"WARNING: " + b"x" * 990 + b"\n") * 1000
    for _ in range(100):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    run.hand_out(run.output)
    run.end()
    return 0


def full_disk(run: Run) -> int:
    """What a C++ program says that cannot write its output."""
    print("terminate called: No space left on device", file=sys.stderr)
    return 1


def silent(run: Run) -> int:
    return 3


def main(arguments: list[str]) -> int:
    run = Run(arguments)
    if " " in str(Path(sys.argv[0]).parent) or not run.folder.is_dir():
        print("Internal compiler error. Aborting! ")
        return 1
    if (state := os.environ.get("STAND_IN_STATE")) is not None:
        (Path(state) / "arguments").write_text("\n".join(arguments))
    return globals()[os.environ["STAND_IN_SCENARIO"]](run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
