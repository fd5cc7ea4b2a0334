"""The prediction is what the real compiler did, operator for operator, on every published pair."""

from __future__ import annotations

from collections import Counter

import pytest

from coralsmith.compat import check_graph
from coralsmith.compiled.package import read_compiled
from coralsmith.compiler import parse_log
from coralsmith.graph.reader import read_tflite

PAIRS = [
    "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant",
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant",
    "gcedgetpu__mobilenet_v1_0.25_128_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_quant",
    "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder",
    "jorgi__N100-nMACs379699200_quant",
    "jorgi__N32-nMACs41287680_quant",
    "jorgi__firstTest_quant",
    "jorgi__model_size_channel32_quant",
    "jorgi__model_size_channel82_quant",
    "libredge__bright_64x64",
    "libredge__color_blue_64x64",
    "libredge__color_green_64x64",
    "libredge__color_red_64x64",
    "libredge__dense_1024",
    "libredge__dense_256",
    "libredge__gabor_64x64_p4",
    "libredge__looming_64x64_3x3",
]
LOGGED = [name for name in PAIRS if name.startswith("jorgi")]


def rows_of(report) -> Counter:
    return Counter((fate.kind, fate.status) for fate in report.ops)


def rows_in(log_path) -> Counter:
    log = parse_log(log_path.read_text())
    return Counter({(row.kind, row.status): row.count for row in log.operations})


def test_the_list_is_complete(shared):
    assert sorted(path.name for path in (shared / "edgetpu" / "pairs").iterdir()) == PAIRS
    assert [name for name in PAIRS if (shared / "edgetpu" / "pairs" / name / "compile.log").exists()] == LOGGED


@pytest.mark.parametrize("pair", PAIRS)
def test_the_same_operators_stay_on_the_cpu(shared, pair):
    folder = shared / "edgetpu" / "pairs" / pair
    compiled = read_compiled(folder / "model_edgetpu.tflite")
    source = read_tflite(folder / "model.tflite")
    # Once for the compiler's newest runtime, once for the one that the file was compiled for.
    for runtime in {14, compiled.packages[0].min_runtime}:
        report = check_graph(source, min_runtime=runtime)
        left = [source.ops[fate.index] for fate in report.ops if fate.target == "cpu"]
        real = Counter((op.kind, *(t.name for t in op.outputs)) for op in compiled.cpu_ops)
        assert Counter((op.kind, *(t.name for t in op.outputs)) for op in left) == real
        assert report.ops_cpu == len(compiled.cpu_ops)
        assert report.ops_unknown == 0
        assert report.ops_edgetpu == len(source.ops) - len(compiled.cpu_ops)
        assert not report.is_refused


@pytest.mark.parametrize("pair", LOGGED)
def test_the_same_counts_and_words_as_the_compilers_log(shared, pair):
    folder = shared / "edgetpu" / "pairs" / pair
    report = check_graph(read_tflite(folder / "model.tflite"))
    assert rows_of(report) == rows_in(folder / "compile.log")


def test_the_classic_ssd_that_compiler_1_0_logged(shared):
    folder = shared / "models" / "ssd_mobilenet_v1_coco_quant"
    report = check_graph(read_tflite(folder / "model.tflite"))
    assert rows_of(report) == rows_in(folder / "edgetpu_compiler_1.0.log")
    assert (report.ops_edgetpu, report.ops_cpu) == (63, 1)
    assert [finding.severity for finding in report.findings] == ["info"]


def test_the_log_of_a_pair_that_was_published_twice(shared):
    name = "Jorgitou98__EdgeTPU-QuantRL-Evaluation__CPUvsTPU_cifar10_firstTest_quant_edgetpu.log"
    model = shared / "edgetpu" / "pairs" / "jorgi__firstTest_quant" / "model.tflite"
    assert rows_of(check_graph(read_tflite(model))) == rows_in(shared / "edgetpu" / "logs" / name)


@pytest.mark.parametrize("owner", ["zye1996", "intflow"])
def test_the_logs_of_others_who_compiled_the_same_detector(shared, owner):
    """SSD MobileNetV2 300; the source at hand was rebuilt, with one RESHAPE less and two DEQUANTIZE more."""
    (log,) = (shared / "edgetpu" / "logs").glob(f"{owner}__*.log")
    source = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant" / "source_rebuilt.tflite"
    predicted, real = rows_of(check_graph(read_tflite(source))), rows_in(log)
    assert predicted - real == Counter({("DEQUANTIZE", "Operation is working on an unsupported data type"): 2})
    assert real - predicted == Counter({("RESHAPE", "Mapped to Edge TPU"): 1})


def test_the_ssd_that_coral_compiled_in_segments(shared):
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    segments = [read_compiled(path) for path in folder.glob("*_edgetpu.tflite")]
    real = Counter(op.kind for segment in segments for op in segment.cpu_ops)
    report = check_graph(read_tflite(folder / "source_rebuilt.tflite"))
    assert Counter(fate.kind for fate in report.ops if fate.target == "cpu") == real
    assert {finding.severity for finding in report.findings} == {"info"}
