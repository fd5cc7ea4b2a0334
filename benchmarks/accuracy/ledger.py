"""The accuracy ledger of two trained detectors: source framework, float Graph, int8; see benchmarks/README.md.

python -m benchmarks.accuracy.ledger [--explain]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coralsmith
from benchmarks.quantize.process import REPOSITORY
from benchmarks.quantize.table import print_table
from coralsmith.evaluation.ledger import LedgerRow
from coralsmith.report.document import ConversionReport
from coralsmith.report.plain import to_document
from coralsmith.report.wording import FORMS, drop, drop_interval, interval, precision

RESULTS = REPOSITORY / "benchmarks" / "results"


@dataclass(frozen=True)
class Case:
    """One trained detector.

    Attributes:
        title: What it is.
        source: The model as its makers have it.
        images: Calibration images; those that are measured on are left out by coralsmith itself.
        data: Labelled images.
        labels: Label file, where the source does not know its labels.
    """

    title: str
    source: Path
    images: Path
    data: Path
    labels: Path | None = None


def cases(shared: Path) -> dict[str, Case]:
    """The detectors by name."""
    models, data = shared / "models", shared / "data"
    return {
        "coco": Case(
            "COCO SSDLite MobileNetV2 300, TF1 frozen graph; calibrated on coco_permissive_train",
            models / "coco_ssdlite_mobilenet_v2" / "coco_ssdlite_frozen.pb",
            data / "coco_permissive_train" / "images",
            data / "coco_permissive_val",
        ),
        "bccd": Case(
            "BCCD SSDLite 300 with hard-swish and leaky ReLU, Keras 3; calibrated outside of the test split",
            models / "bccd_ssdlite" / "bccd_ssdlite.keras",
            data / "bccd" / "JPEGImages",
            data / "bccd",
            models / "bccd_ssdlite" / "labels.txt",
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.ledger", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--explain", action="store_true", help="also the layers that cause most of the error")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "ledger", help="scratch folder, kept")
    arguments = parser.parse_args()
    results = {}
    for name, case in cases(arguments.shared.resolve()).items():
        report = coralsmith.convert(
            case.source,
            case.images,
            arguments.work / name,
            dataset=case.data,
            labels=case.labels,
            compiler="none",
            explain=arguments.explain,
        )
        results[name] = _shown(case, report)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ledger.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def _shown(case: Case, report: ConversionReport) -> dict[str, Any]:
    """Print the tables of one detector."""
    accuracy, explanation = report.accuracy, report.explanation
    assert accuracy is not None, "it was measured"
    print_table(
        f"{case.title}; {accuracy.images} images, suppressed {accuracy.decoding.suppression}, 95 % intervals",
        ("", "AP", "interval", "AP50", "drop", "paired interval", "agreement", "interval "),
        [_row(row) for row in accuracy.ledger],
    )
    if explanation is not None and explanation.attribution is not None:
        layers = sorted(explanation.attribution.layers, key=lambda layer: -layer.share)[:8]
        print_table(
            "Layers that cause most of the error of the heads, each alone in int8",
            ("layer", "operator", "share"),
            [(layer.name, layer.kind, f"{layer.share:.1%}") for layer in layers],
        )
    stages = {stage.name: stage.seconds for stage in report.stages}
    return {"accuracy": to_document(accuracy), "explanation": to_document(explanation), "stages": stages}


def _row(row: LedgerRow) -> tuple[str, ...]:
    name = f"{FORMS[row.form]} ({row.name})"
    return (
        name,
        precision(row.ap),
        interval(row.ap_interval),
        precision(row.ap50),
        drop(row.drop),
        drop_interval(row.drop_interval),
        precision(row.agreement),
        interval(row.agreement_interval),
    )


if __name__ == "__main__":
    main()
