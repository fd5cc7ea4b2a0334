from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from coralsmith.compat.report import AllPartitions, CheckReport, OpFate
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.edgetpu.activations import ActivationMemory
from coralsmith.edgetpu.latency import Latency, LatencyEstimate, LatencyParts, OperatorTime
from coralsmith.edgetpu.memory import LayerMemory, ParameterMemory
from coralsmith.findings import Finding
from coralsmith.report.document import QuantizedFile
from coralsmith.report.terminal import (
    print_check,
    print_detections,
    print_head,
    print_quantized,
    print_summary,
)
from tests.report.example_report import (
    CPU_STATUS,
    MAPPED,
    blocked_report,
    check_document,
    compiled_report,
    example_report,
    samples,
)

OUT = Path("coco ssdlite-edgetpu")


class Screen:
    """A console of 80 columns and what it shows."""

    def __init__(self, encoding: str = "utf-8", width: int = 80) -> None:
        self._bytes = io.BytesIO()
        stream = io.TextIOWrapper(self._bytes, encoding, write_through=True)
        self.console = Console(file=stream, width=width, highlight=False, emoji=False)
        self._encoding = encoding

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode(self._encoding)

    @property
    def words(self) -> str:
        """Without line breaks and indentation."""
        return " ".join(self.text.split())


def parameter_memory(document: dict[str, Any]) -> ParameterMemory:
    layers = tuple(LayerMemory(**layer) for layer in document["layers"])
    return ParameterMemory(**{**document, "layers": layers})


def check_report(**changes: object) -> CheckReport:
    """The check of the example as `coralsmith check` has it."""
    document = check_document()
    ops = [OpFate(**op) for op in document["ops"]]
    parts = LatencyParts(0.3, 2.1, 2.9, 1.4, 0.0, 0.9)
    usb = LatencyEstimate(7.6, 5.9, 9.8, parts, rows=19, leave_one_out_error=0.08)
    slowest = (OperatorTime(1, "CONV_2D", "first", 1.37, 0.18), OperatorTime(0, "ADD", "second", 0.08, 0.01))
    fields = {
        **document,
        "ops": ops,
        "all_partitions": AllPartitions(**document["all_partitions"]),
        "parameters": parameter_memory(document["parameters"]),
        "activations": ActivationMemory(**document["activations"]),
        "latency_ms": Latency(usb, None, "inferred", slowest),
        **changes,
    }
    return CheckReport(**fields)


def test_a_summary_has_verdict_figures_findings_files_and_next_step() -> None:
    screen = Screen()
    print_summary(example_report(), OUT, console=screen.console)
    words = screen.words
    order = [
        "int8 model ready, not compiled",
        "Operators on Edge TPU 113 of 116 prediction 3 on the CPU",
        "int8 against float 27.9 dB measured",
        "Warnings dead-tensor",
        "fix Calibrate with images",
        "2 further findings worth knowing; --verbose tells.",
        "Written to coco ssdlite-edgetpu",
        "coco_ssdlite_int8.tflite 5.11 MiB",
        "Next: Compile it on a machine",
        "edgetpu_compiler -s coco_ssdlite_int8.tflite",
    ]
    places = [words.index(part) for part in order]
    assert places == sorted(places)


def test_verbose_tells_all_findings_with_their_evidence() -> None:
    screen = Screen()
    print_summary(example_report(), OUT, verbose=True, console=screen.console)
    assert "Worth knowing float-output (2 times)" in screen.words
    assert "evidence compiler log: 31 models with float output" in screen.words


def test_a_compiled_model_shows_the_compiler_s_numbers() -> None:
    screen = Screen()
    print_summary(compiled_report(), OUT, console=screen.console)
    assert "Operators on Edge TPU 113 of 116 compiler 3 on the CPU" in screen.words
    assert "Next:" not in screen.words


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("make", [example_report, compiled_report, blocked_report])
def test_a_summary_fits_80_columns_in_every_encoding(make: object, encoding: str) -> None:
    screen = Screen(encoding)
    print_summary(make(), OUT, verbose=True, console=screen.console)  # type: ignore[operator]
    assert max(len(line.rstrip()) for line in screen.text.splitlines()) <= 80


def test_without_colour_there_are_no_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    print_summary(example_report(), OUT, console=Console(file=stream, force_terminal=True, width=80))
    assert "\x1b[3" not in stream.getvalue()


def test_a_name_without_end_is_cut() -> None:
    screen = Screen()
    print_check(
        check_report(findings=[Finding("rule", "error", "Reason.", op="n" * 10**6)]), console=screen.console
    )
    assert "(1,000,000 characters)" in screen.words
    assert screen.text.count("n") < 3000


def test_a_name_from_a_model_cannot_act_on_the_terminal() -> None:
    op = "conv\x1b]0;owned\x07[bold red]:boom:\u202e"
    report = check_report(findings=[Finding("rule", "error", "Reason.", op=op)], model=op)
    screen = Screen("ascii")
    print_check(report, console=screen.console)
    assert not {"\x1b", "\x07"} & set(screen.text)
    assert "[bold red]:boom:\\u202e" in screen.words


def test_a_check_groups_operators_like_the_compiler_and_puts_the_cpu_first() -> None:
    screen = Screen()
    print_check(check_report(), console=screen.console)
    words = screen.words
    assert "Prediction: 113 of 116 operators run on the Edge TPU" in words
    assert "3 on the CPU, 1 Edge TPU partition" in words
    order = ["Operator Count Runs on Status", f"CUSTOM 1 CPU {CPU_STATUS}", f"DEQUANTIZE 2 CPU {CPU_STATUS}"]
    order += [f"ADD 10 Edge TPU {MAPPED}", f"CONV_2D 55 Edge TPU {MAPPED}"]
    places = [words.index(part) for part in order]
    assert places == sorted(places)
    assert "Parameters on chip 4.75 MiB prediction of ~7.7 MiB, none streamed" in words
    assert "Latency (USB 3 on a PC) 7.6 ms prediction 5.9 to 9.8 ms" in words
    assert "Where the time goes" not in words


def test_a_verbose_check_tells_where_the_time_goes_and_the_slowest_operators() -> None:
    screen = Screen()
    print_check(check_report(), verbose=True, console=screen.console)
    words = screen.words
    assert "Computation 2.1 ms 28 %" in words and "Instructions 1.4 ms 18 % sent with every inference" in words
    assert "Streamed parameters" not in words  # nothing is streamed
    assert "Slowest operators CONV_2D 1 18 % first ADD 0 1 % second" in words
    assert "Latency: inferred." in words


def test_a_check_without_estimate_says_why_when_asked() -> None:
    screen = Screen()
    latency = Latency(None, None, "not estimated: nothing runs on the Edge TPU")
    print_check(check_report(latency_ms=latency), verbose=True, console=screen.console)
    assert "Latency: not estimated: nothing runs on the Edge TPU." in screen.words
    assert "Latency (" not in screen.words


def test_a_check_tells_what_is_stranded_and_what_all_partitions_would_map() -> None:
    screen = Screen()
    print_check(check_report(ops_cpu=7, ops_stranded=4, partitions=2), console=screen.console)
    assert "7 on the CPU (4 only because of others), 2 Edge TPU partitions │" in screen.words
    asked = AllPartitions(True, 113, 3, 0, 2, [64, 49])
    screen = Screen()
    print_check(check_report(partitions=2, all_partitions=asked), console=screen.console)
    assert "3 on the CPU, 2 Edge TPU partitions, all of them mapped (-a)" in screen.words


def test_an_operator_of_unknown_fate_says_why() -> None:
    ops = [
        OpFate(0, "RESHAPE", "tail", "unknown", "unknown", "reshape-size"),
        OpFate(1, "LOGISTIC", "scores", "unknown", "unknown", "more-than-one-subgraph"),
    ]
    screen = Screen()
    print_check(check_report(ops=ops, ops_unknown=2), console=screen.console)
    assert "LOGISTIC 1 Unknown depends on one that is unknown RESHAPE 1 Unknown see reshape-size" in screen.words


def test_a_refused_model_says_so_with_reason_and_fix() -> None:
    blocking = Finding("dynamic-shape", "error", "A shape is computed.", fix="Run coralsmith convert.", op="conv")
    screen = Screen()
    print_check(check_report(findings=[blocking]), console=screen.console)
    assert "Prediction: the Edge TPU compiler would refuse this model" in screen.words
    assert "once that is mended, 113 of 116 operators run on it, 3 on the CPU" in screen.words
    assert "Errors dynamic-shape A shape is computed. at conv fix Run coralsmith convert." in screen.words


@pytest.mark.parametrize("rule", ["not-quantized", "nothing-mapped"])
def test_a_model_of_which_nothing_is_mapped_is_not_called_refused(rule: str) -> None:
    screen = Screen()
    print_check(check_report(findings=[Finding(rule, "error", "Reason.")]), console=screen.console)
    assert "Prediction: nothing of this model runs on the Edge TPU as it is" in screen.words
    assert "refuse" not in screen.words


def test_a_quantized_file_says_what_it_was_calibrated_with() -> None:
    screen = Screen()
    result = QuantizedFile(Path("m_int8.tflite"), 5_361_664, 59, {"CONV_2D": 55}, [])
    print_quantized(result, verbose=True, console=screen.console)
    assert "5.11 MiB, calibrated with 59 images" in screen.words
    assert "CONV_2D 55" in screen.words


def test_a_head_shows_its_conventions_and_the_first_labels() -> None:
    head = DetectionHead(
        InputSpec((300, 320), 1 / 127.5, -1.0),
        "boxes",
        "scores",
        np.full((1917, 4), 0.5, np.float32),
        tuple(f"class {i}" for i in range(20)),
        evidence=f"given in head.json; input [-1, 1]; {'word ' * 30}end",
    )
    screen = Screen()
    print_head(head, console=screen.console)
    assert "20 labels, 1,917 anchors" in screen.words
    assert "Evidence given in head.json input [-1, 1]" in screen.words
    assert "Input 320x300 pixels -1 to 1, stretch" in screen.words
    assert "Boxes boxes yxhw, scales 10, 10, 5, 5" in screen.words
    assert "\n  word" in screen.text and "\nword" not in screen.text, "what wraps stays indented"
    assert "class 11 and 8 more" in screen.words


def test_detections_are_listed_by_image() -> None:
    screen = Screen()
    found = {sample.image: sample.float_detections for sample in samples()}
    print_detections(found, Path("drawn"), console=screen.console)
    assert "000000001000.jpg dog 0.91 box 0.100, 0.200, 0.800, 0.600 person 0.77" in screen.words
    assert "holiday photo (3).jpg nothing" in screen.words
    assert "Pictures: drawn" in screen.words


def test_of_many_detections_the_best_are_listed() -> None:
    screen = Screen()
    found = {"a.jpg": samples()[0].float_detections * 10}
    print_detections(found, None, console=screen.console)
    assert screen.words.count("box") == 10
    assert "and 10 more" in screen.words
