"""What `coralsmith evaluate` says."""

from __future__ import annotations

import io

from rich.console import Console

from coralsmith.evaluation.document import AgainstRecord, AgreementRecord, Decoding, EvaluationReport
from coralsmith.evaluation.evaluate import ClassScore
from coralsmith.evaluation.ledger import LedgerRow
from coralsmith.report.terminal_accuracy import print_evaluation

SCORES = {"cat": ClassScore(0.5, 0.75, 12), "dog": ClassScore(0.25, 0.5, 3), "emu": ClassScore(None, None, 0)}
FLOAT = LedgerRow("float", "float.tflite", 0.4, 0.6, 0.3, (0.3, 0.5))
INT8 = LedgerRow("int8", "int8.tflite", 0.375, 0.6, 0.3, (0.28, 0.48), 0.025, (-0.001, 0.05), 0.91, (0.88, 0.94))
DECODING = Decoding("across classes", 0.5, 0.01, 100)


def shown(report: EvaluationReport, *, verbose: bool = False) -> str:
    stream = io.StringIO()
    print_evaluation(report, verbose=verbose, console=Console(file=stream, width=100))
    return stream.getvalue()


def alone() -> EvaluationReport:
    interval = (0.28, 0.48)
    return EvaluationReport(
        "int8.tflite",
        "data",
        None,
        20,
        0.375,
        0.6,
        0.3,
        interval,
        SCORES,
        DECODING,
        None,
        None,
        None,
        None,
        (),
        (),
    )


def beside() -> EvaluationReport:
    against = AgainstRecord("float.tflite", 0.4, 0.6, 0.3, (0.3, 0.5), {"cat": ClassScore(0.55, 0.8, 12)})
    agreement = AgreementRecord(20, 77, 0.3, 0.91, 1.0, 0.95, (0.88, 0.94))
    return EvaluationReport(
        "int8.tflite", "data", None, 20, 0.375, 0.6, 0.3, (0.28, 0.48), SCORES, DECODING, against, 0.025,
        (-0.001, 0.05), agreement, (FLOAT, INT8), (),
    )  # fmt: skip


def test_a_model_alone() -> None:
    text = shown(alone())
    assert "AP 0.375" in text and "20 images of data; 95 % interval 0.280 to 0.480" in text
    assert "AP50  0.600" in text


def test_classes_are_listed_by_their_objects_those_without_left_out() -> None:
    text = shown(alone())
    assert text.index("cat") < text.index("dog") and "emu" not in text


def test_two_models_side_by_side() -> None:
    text = shown(beside())
    assert "+0.0250 lost against float.tflite" in text
    assert "-0.0010 to +0.0500" in text and "0.910" in text
    assert text.index("  float") < text.index("  int8 ")


def test_without_labels_the_agreement_is_the_result() -> None:
    agreement = AgreementRecord(20, 77, 0.3, 0.91, 1.0, 0.95, (0.88, 0.94))
    report = EvaluationReport(
        "int8.tflite", "photos", None, 20, None, None, None, None, {}, DECODING, None, None, None, agreement,
        (LedgerRow("float", "float.tflite"), LedgerRow("int8", "int8.tflite", agreement=0.91)), (),
    )  # fmt: skip
    text = shown(report)
    assert "Agreement 0.910" in text and "77 detections of the other model in 20 images" in text
    assert "None" not in text


def test_many_classes_are_cut_short_unless_all_are_asked_for() -> None:
    scores = {f"class-{i:02}": ClassScore(0.5, 0.5, 30 - i) for i in range(20)}
    report = EvaluationReport(
        "m", "d", None, 1, 0.5, 0.5, 0.5, (0.5, 0.5), scores, DECODING, None, None, None, None, (), ()
    )
    assert "and 8 more classes" in shown(report) and "class-19" not in shown(report)
    assert "class-19" in shown(report, verbose=True)
