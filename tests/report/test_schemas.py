from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

from coralsmith.compat.check import check_graph
from coralsmith.compiled.inspection import inspect_file
from coralsmith.compiler.log import CompileResult, OperationCount
from coralsmith.compiler.run import Compilation
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.findings import Examination, MachineFact
from coralsmith.graph.reader import read_tflite
from coralsmith.recipe import Recipe
from coralsmith.report.document import ConversionReport, LayerFidelity, QuantizedFile
from coralsmith.report.plain import to_document
from coralsmith.report.schemas import schemas, write_schemas
from coralsmith.verify_model import verify
from tests.report.example_report import blocked_report, compiled_report, example_report, samples

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@pytest.fixture(scope="module")
def generated() -> dict[str, dict[str, Any]]:
    return schemas()


def validate(document: object, schema: dict[str, Any]) -> None:
    Draft202012Validator(schema).validate(document)


def test_the_published_schemas_are_those_of_the_code(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    fresh = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert {path.name: path.read_text("utf-8") for path in PUBLISHED.glob("*.json")} == fresh


def test_every_schema_is_a_schema(generated: dict[str, dict[str, Any]]) -> None:
    for schema in generated.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("make", [example_report, compiled_report, blocked_report])
def test_reports_are_valid(generated: dict[str, dict[str, Any]], make: Callable[[], ConversionReport]) -> None:
    validate(to_document(make()), generated["report"])


def test_a_report_must_be_whole(generated: dict[str, dict[str, Any]]) -> None:
    whole = to_document(example_report())
    for missing in (["verdict"], ["schema"], ["quantization", "outputs"], ["check", "ops_total"]):
        document = copy.deepcopy(whole)
        *way, last = missing
        place = document
        for step in way:
            place = place[step]
        del place[last]
        with pytest.raises(ValidationError, match=last):
            validate(document, generated["report"])


def test_a_report_names_its_schema(generated: dict[str, dict[str, Any]]) -> None:
    document = {**to_document(example_report()), "schema": "coralsmith/report/2"}
    with pytest.raises(ValidationError):
        validate(document, generated["report"])


def test_an_output_without_any_noise_is_valid_too(generated: dict[str, dict[str, Any]]) -> None:
    report = example_report()
    layers = (LayerFidelity("relu", "RELU", math.inf),)
    quantization = dataclasses.replace(report.quantization, layers=layers)
    document = to_document(dataclasses.replace(report, quantization=quantization))
    assert document["quantization"]["layers"][0]["sqnr_db"] is None
    validate(document, generated["report"])


def test_a_real_check_is_valid(generated: dict[str, dict[str, Any]], shared: Path) -> None:
    graph = read_tflite(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite")
    validate(to_document(check_graph(graph, model="bccd.tflite")), generated["check"])


def test_a_real_inspection_is_valid(generated: dict[str, dict[str, Any]], shared: Path) -> None:
    folder = shared / "edgetpu" / "pairs" / "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant"
    for name in ("model_edgetpu.tflite", "model.tflite"):
        document = to_document(inspect_file(folder / name))
        validate(document, generated["inspect"])
    with pytest.raises(ValidationError):
        validate({**document, "schema": "coralsmith/check/1"}, generated["inspect"])


def test_a_real_verification_is_valid(generated: dict[str, dict[str, Any]], shared: Path) -> None:
    for name in ("libredge__color_red_64x64", "libredge__gabor_64x64_p4"):
        folder = shared / "edgetpu" / "pairs" / name
        document = to_document(verify(folder / "model.tflite", folder / "model_edgetpu.tflite"))
        validate(document, generated["verify"])
    with pytest.raises(ValidationError):
        validate({**document, "verdict": "perhaps"}, generated["verify"])


def test_a_head_is_valid(generated: dict[str, dict[str, Any]]) -> None:
    anchors = np.full((3, 4), 0.5, np.float32)
    head = DetectionHead(InputSpec((300, 300), 1 / 127.5, -1.0), "boxes", "scores", anchors, ("cat",))
    validate(head.to_json(), generated["head"])
    with pytest.raises(ValidationError):
        validate({**head.to_json(), "anchors": [[1, 2, 3]]}, generated["head"])


def test_a_recipe_may_leave_everything_out_but_not_invent_a_field(generated: dict[str, dict[str, Any]]) -> None:
    validate({}, generated["recipe"])
    validate(Recipe().model_dump(), generated["recipe"])
    with pytest.raises(ValidationError):
        validate({"io": "float16"}, generated["recipe"])
    with pytest.raises(ValidationError):
        validate({"inout": "uint8"}, generated["recipe"])


def test_what_the_other_commands_print_is_valid(generated: dict[str, dict[str, Any]]) -> None:
    result = CompileResult("16.0.384591198", [OperationCount("CONV_2D", 55, "Mapped to Edge TPU")])
    compilation = Compilation(Path("m_edgetpu.tflite"), None, result, [], ("edgetpu_compiler",), "", "", 1.25)
    validate(to_document(compilation), generated["compile"])
    facts = (MachineFact("compiler", "found", "fail", "nowhere", "Get one."),)
    validate(to_document(Examination(facts)), generated["doctor"])
    quantized = QuantizedFile(Path("m_int8.tflite"), 1024, 59, {"CONV_2D": 55}, [])
    validate(to_document(quantized), generated["quantize"])
    found = {sample.image: list(sample.float_detections) for sample in samples()}
    validate(to_document(found), generated["detect"])


def test_fields_are_described_by_the_docstrings_of_their_records(generated: dict[str, dict[str, Any]]) -> None:
    fate = generated["check"]["$defs"]["OpFate"]
    assert fate["description"] == "Where one operator will run."
    assert fate["properties"]["status"]["description"] == "The compiler's words for it where it has them."
    assert "\n" not in generated["check"]["properties"]["partitions"]["description"]
