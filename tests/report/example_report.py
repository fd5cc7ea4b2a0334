"""A report with the size and the numbers of a real conversion: SSDLite MobileNetV2 at 300 px, 90 classes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from typing import Any

from PIL import Image

from coralsmith.evaluation.document import Decoding
from coralsmith.evaluation.ledger import LedgerRow
from coralsmith.findings import Finding
from coralsmith.quantization.explanation import CoordinateError, TensorHistogram
from coralsmith.report.accuracy import AccuracyRecord, ClassLoss, GateRecord, RungRecord
from coralsmith.report.document import (
    AgreementRecord,
    CompilerRecord,
    ConversionReport,
    DetectionRecord,
    FileRecord,
    HeadRecord,
    LayerFidelity,
    OutputFidelity,
    QuantizationRecord,
    RepairRecord,
    SampleRecord,
    SourceRecord,
    StageRecord,
    TensorScale,
    Verdict,
)
from coralsmith.report.explanation import (
    AttributionRecord,
    ClassErrorRecord,
    ExplanationRecord,
    LayerShareRecord,
)
from coralsmith.report.html import SamplePicture

MAPPED = "Mapped to Edge TPU"
CPU_STATUS = "Operation is working on an unsupported data type"
FILES = {
    "coco_ssdlite_float.tflite": 18_093_004,
    "coco_ssdlite_int8.tflite": 5_361_664,
    "head.json": 98_713,
    "labels.txt": 702,
}
RESIDUAL_BLOCKS = (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)


def operators() -> list[tuple[str, str]]:
    """Kind and name of each operator of an SSDLite MobileNetV2 with its post-processing."""
    ops = [("CONV_2D", "FeatureExtractor/MobilenetV2/Conv/Relu6")]
    for block in range(17):
        name = f"FeatureExtractor/MobilenetV2/expanded_conv_{block}"
        ops += [("CONV_2D", f"{name}/expand/Relu6")] if block else []
        ops += [("DEPTHWISE_CONV_2D", f"{name}/depthwise/Relu6"), ("CONV_2D", f"{name}/project/Identity")]
        ops += [("ADD", f"{name}/add")] if block in RESIDUAL_BLOCKS else []
    ops.append(("CONV_2D", "FeatureExtractor/MobilenetV2/Conv_1/Relu6"))
    for level, depth in enumerate((512, 256, 256, 128), start=2):
        name = f"FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_{level}_3x3_s2_{depth}"
        ops += [("CONV_2D", f"{name}_1x1/Relu6"), ("DEPTHWISE_CONV_2D", f"{name}_depthwise/Relu6")]
        ops += [("CONV_2D", f"{name}/Relu6")]
    for level in range(6):
        for part in ("BoxEncodingPredictor", "ClassPredictor"):
            name = f"BoxPredictor_{level}/{part}"
            ops += [("DEPTHWISE_CONV_2D", f"{name}_depthwise/Relu6"), ("CONV_2D", f"{name}/BiasAdd")]
            ops += [("RESHAPE", f"BoxPredictor_{level}/Reshape_{part}")]
    ops += [("CONCATENATION", "concat"), ("CONCATENATION", "concat_1"), ("LOGISTIC", "convert_scores")]
    ops += [("DEQUANTIZE", "boxes_float"), ("DEQUANTIZE", "scores_float")]
    return [*ops, ("CUSTOM", "TFLite_Detection_PostProcess")]


def latency(estimate: float, low: float, high: float) -> dict[str, Any]:
    """An estimate over one bus."""
    parts = {
        "overhead": 0.3,
        "compute": 2.1,
        "transfers": 2.9,
        "instructions": 1.4,
        "streamed_parameters": 0.0,
        "cpu": estimate - 6.7,
    }
    return {
        "estimate": estimate,
        "low": low,
        "high": high,
        "parts": parts,
        "rows": 19,
        "leave_one_out_error": 0.08,
    }


def check_document() -> dict[str, Any]:
    """What `check --json` says of that model."""
    rules = {"DEQUANTIZE": "float-output", "CUSTOM": "custom-operator"}
    ops = [
        {
            "index": index,
            "kind": kind,
            "name": name,
            "target": "cpu" if kind in rules else "edgetpu",
            "status": CPU_STATUS if kind in rules else MAPPED,
            "rule": rules.get(kind),
            "other_statuses": [],
        }
        for index, (kind, name) in enumerate(operators())
    ]
    evidence = "inferred: fit over 62 measured latencies, none of them of an SSD"
    return {
        "schema": "coralsmith/check/1",
        "model": "coco_ssdlite_int8.tflite",
        "ops_total": len(ops),
        "ops_edgetpu": len(ops) - 3,
        "ops_cpu": 3,
        "ops_unknown": 0,
        "ops_stranded": 0,
        "partitions": 1,
        "all_partitions": {
            "asked": False,
            "ops_edgetpu": len(ops) - 3,
            "ops_cpu": 3,
            "ops_unknown": 0,
            "custom_operators": 1,
            "sizes": [len(ops) - 3],
        },
        "ops": ops,
        "parameters": parameters_document(),
        "activations": {
            "tile_bytes": 188_256,
            "limit": 196_608,
            "index": 4,
            "op": "expanded_conv_1/depthwise",
            "live_bytes": 188_256,
            "tensors": ["expanded_conv_1/expand 1x150x150x96", "expanded_conv_1/depthwise 1x75x75x96"],
            "cut": [],
            "evidence": "measured on pairs",
        },
        "latency_ms": {
            "usb": latency(7.6, 5.9, 9.8),
            "pcie": latency(6.8, 5.2, 8.9),
            "evidence": evidence,
            "slowest": [{"index": 1, "kind": "CONV_2D", "name": "first", "milliseconds": 1.37, "share": 0.18}],
        },
        "findings": [],
    }


def parameters_document() -> dict[str, Any]:
    """Parameter memory with a layer of each sort: exact, in a band, of unknown place."""
    evidence = "packing rules measured on compiled models; inferred budget of 7.7 MiB"
    parts = {
        "weights": 327_680,
        "header": 10_240,
        "channel_padding": 0,
        "output_padding": 40_960,
        "diagonal": 0,
        "inserted": 0,
    }
    layer = {
        "kind": "CONV_2D",
        "low": 378_880,
        "wasted": 40_960,
        "occupied": 378_880,
        "evidence": evidence,
        **parts,
    }
    exact = {"index": 61, "name": "Conv_1", "high": 378_880, "exact": True, "placement": "cached"}
    banded = {"index": 70, "name": "BoxPredictor_0/Class", "high": 684_672, "exact": False, "placement": "unknown"}
    return {
        "on_chip_bytes": 4_982_144,
        "streamed_bytes": 0,
        "low": 4_982_144,
        "high": 5_287_936,
        "evidence": evidence,
        "streamed_low": 0,
        "streamed_high": 0,
        "occupied": 5_122_048,
        "room": 7_864_320,
        "wasted": 81_920,
        "layers": [{**layer, **exact}, {**layer, **banded}],
    }


def sqnr(position: int) -> float:
    """A plausible noise level: falling along the network, with dips that do not repeat."""
    return 41.0 - 0.16 * position - 7.0 * ((position * 37) % 11) / 11


def quantization() -> QuantizationRecord:
    """All layers and activations of the example."""
    integer = [(kind, name) for kind, name in operators() if kind not in ("DEQUANTIZE", "CUSTOM")]
    return QuantizationRecord(
        images=59,
        ranges="min-max",
        weights="per-channel",
        outputs=(OutputFidelity("concat", 27.9, 1.31), OutputFidelity("convert_scores", 31.4, 0.163)),
        layers=tuple(LayerFidelity(name, kind, sqnr(i)) for i, (kind, name) in enumerate(integer)),
        tensors=tuple(TensorScale(name, (1, 19, 19, 96), 0.0235294, -128, 0.0, 6.0) for _, name in integer),
    )


def verification() -> dict[str, Any]:
    """What an importer measures."""
    outputs = [
        {"name": "concat", "worst": 3.1e-05, "low": -4.2, "high": 6.1},
        {"name": "convert_scores", "worst": 1.2e-06, "low": 0.0, "high": 0.98},
    ]
    return {
        "reference": "TensorFlow 2.21.0",
        "images": 4,
        "real_images": True,
        "tolerance": 0.0001,
        "worst_difference": 3.1e-05,
        "output_range": 10.3,
        "passed": True,
        "outputs": outputs,
    }


def samples() -> tuple[SampleRecord, ...]:
    """Three images; the int8 model loses one detection of the second."""
    dog = DetectionRecord("dog", 17, 0.91, (0.1, 0.2, 0.8, 0.6))
    person = DetectionRecord("person", 0, 0.77, (0.05, 0.55, 0.95, 0.9))
    cup = DetectionRecord("cup", 46, 0.41, (0.6, 0.1, 0.8, 0.2))
    weaker = dataclasses.replace(dog, score=0.88)
    return (
        SampleRecord("000000001000.jpg", (dog, person), (weaker, person)),
        SampleRecord("000000002153.jpg", (person, cup), (person,)),
        SampleRecord("holiday photo (3).jpg", (), ()),
    )


def jpeg(colour: str) -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def example_pictures() -> list[SamplePicture]:
    """A picture pair for each sample."""
    return [SamplePicture(sample.image, jpeg("navy"), jpeg("teal")) for sample in samples()]


def findings() -> tuple[Finding, ...]:
    """What a healthy conversion has to tell."""
    evidence = "in a compiler log: no_integer_overflow_from_quantization (google-coral/edgetpu 453)"
    dead = Finding(
        "dead-tensor",
        "warning",
        "The tensor hardly ever differs from zero on the calibration images; its range was widened so that the "
        "compiler's fixed-point arithmetic does not overflow.",
        fix="Calibrate with images like those the camera will see; if it stays, the layer learned nothing.",
        tensor="FeatureExtractor/MobilenetV2/expanded_conv_16/project/Identity",
        measured="width 3.1e-05",
        limit="width 0.0001",
        evidence=evidence,
    )
    tail = [
        Finding(
            "float-output",
            "info",
            "The CPU converts the Edge TPU's integers to float here.",
            fix="Nothing where detection post-processing follows.",
            op=name,
            measured="float32",
            evidence="compiler log: 31 models with float output",
        )
        for name in ("boxes_float", "scores_float")
    ]
    broken = Finding(
        "unreadable-image",
        "warning",
        "Two of the images cannot be read and were left out.",
        fix="Remove or repair them.",
        measured="broken.jpg: truncated",
        evidence="measured",
    )
    return (dead, broken, *tail)


def repairs() -> tuple[RepairRecord, ...]:
    """One exact and one approximate repair."""
    return (
        RepairRecord(
            "hard-swish-to-relu6",
            "HARD_SWISH does not map; x · relu6(x + 3) / 6 computes the same from operators that do.",
            True,
            ("HARD_SWISH extra_1/hswish",),
            ("ADD extra_1/hswish/relu6", "MUL extra_1/hswish"),
            2.4e-07,
        ),
        RepairRecord(
            "swap-activation",
            "ELU does not map; RELU6 is near it for the values seen here.",
            False,
            ("ELU neck/act",),
            ("RELU6 neck/act",),
            0.0173,
            29.5,
        ),
    )


def explanation() -> ExplanationRecord:
    """Three layers, two of them noisy; height is the worst coordinate."""
    layers = (
        LayerShareRecord("first_relu6", "CONV_2D", 0.55),
        LayerShareRecord("second/add", "ADD", 0.15),
        LayerShareRecord("boxes_pred", "CONV_2D", 0.3),
    )
    coordinates = tuple(
        CoordinateError(name, mean, 8 * mean)
        for name, mean in (("y centre", 0.003), ("x centre", 0.0035), ("height", 0.012), ("width", 0.005))
    )
    counts = tuple(int(9000 * 2.71828 ** -((i - 20) ** 2 / 60)) for i in range(64))
    tensor = TensorHistogram("first_relu6", "CONV_2D", 19.5, -3.0, 9.0, counts, -2.5, 7.5, 0.002)
    classes = (ClassErrorRecord("person", 61, -0.021, 0.03), ClassErrorRecord("car", 12, 0.004, 0.006))
    shares = AttributionRecord(4, {"boxes": 1.06, "class_probabilities": 0.97}, layers)
    return ExplanationRecord(4, 73, coordinates, classes, (tensor,), shares)


def accuracy() -> AccuracyRecord:
    """A ledger of three forms and a gate that the second way passed."""
    whole, part = (0.359, 0.526, 0.361, (0.292, 0.445)), (0.352, 0.52, 0.35, (0.285, 0.437))
    ledger = (
        LedgerRow("source", "TensorFlow 2.21.0", *whole),
        LedgerRow("float", "coco_float.tflite", *whole, 0.0, (0.0, 0.0), 1.0, (1.0, 1.0)),
        LedgerRow("int8", "coco_int8.tflite", *part, 0.007, (-0.002, 0.016), 0.93, (0.9, 0.95)),
    )
    rungs = (
        RungRecord("plain", "post-training quantization", 6.2, 0.34, 0.019, (0.005, 0.03), 0.88),
        RungRecord("auto", "ranges and rounding searched", 41.5, 0.352, 0.007, (-0.002, 0.016), 0.93, passed=True),
        RungRecord("tune", "training without labels", skipped="PyTorch is not installed."),
    )
    classes = (
        ClassLoss("person", 44, 0.237, 0.231),
        ClassLoss("car", 13, 0.287, 0.29),
        ClassLoss("zebra", 0, None, None),
    )
    gate = GateRecord(0.01, False, True, "auto", rungs)
    return AccuracyRecord("data/coco", None, 25, Decoding("across classes", 0.6, 0.01, 100), ledger, classes, gate)


def example_report() -> ConversionReport:
    """A conversion without a compiler, as most users see it first."""
    return ConversionReport(
        name="coco_ssdlite",
        verdict=Verdict(
            "int8-ready",
            "int8 model ready, not compiled",
            "The int8 model is complete and verified on the CPU. Prediction: 113 of 116 operators will run on the "
            "Edge TPU, 3 on the CPU. The Edge TPU compiler was not run, since this machine has none.",
            "Compile it on a machine that has the compiler (x86-64 Linux):",
            "edgetpu_compiler -s coco_ssdlite_int8.tflite",
        ),
        versions={"coralsmith": "0.1.0", "ai-edge-litert": "2.3.0", "numpy": "2.3.4", "python": "3.11.14"},
        source=SourceRecord(
            "models/coco_ssdlite_frozen.pb",
            "TensorFlow 1 frozen graph",
            digest("source"),
            ("Cut at concat and concat_1, before the in-graph decoding.",),
        ),
        recipe={"io": "uint8", "postprocess": "auto", "weights": "per-channel", "samples": 200, "seed": 0},
        head=HeadRecord(
            (300, 300),
            "pixel / 127.5 - 1",
            "concat",
            "concat_1",
            1917,
            ("person", "bicycle", "dog"),
            "TF OD API names",
        ),
        verification=verification(),
        repairs=repairs(),
        quantization=quantization(),
        explanation=explanation(),
        check=check_document(),
        compiler=CompilerRecord(ran=False, command="edgetpu_compiler -s -m 14 coco_ssdlite_int8.tflite"),
        agreement=AgreementRecord(25, 131, 128, 124, 0.4, 0.5),
        accuracy=accuracy(),
        samples=samples(),
        stages=(
            StageRecord("Import", 11.42, 1433.0),
            StageRecord("Repair", 0.91, 402.5, resumed=True),
            StageRecord("Calibrate", 4.6, 388.1),
            StageRecord("Quantize", 0.42, 391.0),
            StageRecord("Compare", 9.8, 441.7),
        ),
        files=tuple(FileRecord(name, size, digest(name)) for name, size in FILES.items()),
        findings=findings(),
    )


def compiled_report() -> ConversionReport:
    """The same model, compiled."""
    kinds = [kind for kind, _ in operators()]
    tail = ("CUSTOM", "DEQUANTIZE")
    rows = tuple((kind, kinds.count(kind), CPU_STATUS if kind in tail else MAPPED) for kind in sorted(set(kinds)))
    compiler = CompilerRecord(
        ran=True,
        version="16.0.384591198",
        command="edgetpu_compiler -s -m 14 -o out model.tflite",
        mapped=len(kinds) - 3,
        unmapped=3,
        on_chip_bytes=5_106_565,
        streamed_bytes=0,
        operations=rows,
    )
    verdict = Verdict(
        "compiled", "The model is compiled for the Edge TPU.", "Only the documented tail runs on the CPU."
    )
    edgetpu = FileRecord("coco_ssdlite_int8_edgetpu.tflite", 5_534_720, digest("edgetpu"))
    report = example_report()
    return dataclasses.replace(report, compiler=compiler, verdict=verdict, files=(*report.files, edgetpu))


def blocked_report() -> ConversionReport:
    """A model that came quantized, without a head, and that the compiler would refuse."""
    check = check_document()
    blocking = Finding(
        "operation-not-supported",
        "error",
        "The Edge TPU has no such operator.",
        fix="Replace the layer, or allow --repair approx.",
        op="neck/ELU",
        measured="ELU",
        evidence="documented: Coral models-intro page",
    )
    return dataclasses.replace(
        example_report(),
        verdict=Verdict(
            "blocked",
            "The Edge TPU compiler would refuse the model",
            blocking.reason,
            blocking.fix,
        ),
        quantization=QuantizationRecord(None, "min-max", "per-channel"),
        check={
            **check,
            "latency_ms": {"usb": None, "pcie": None, "evidence": "not estimated", "slowest": []},
            "findings": [dataclasses.asdict(blocking)],
        },
        agreement=None,
        accuracy=None,
        explanation=None,
        samples=(),
        head=None,
        verification=None,
        repairs=(),
        stages=(),
        files=(),
        findings=(blocking,),
    )


def digest(text: str) -> str:
    """A hash to show."""
    return hashlib.sha256(text.encode()).hexdigest()
