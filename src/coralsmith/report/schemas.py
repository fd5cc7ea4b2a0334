"""JSON schemas of every document that other programs read, generated from the types that make the documents.

``python -m coralsmith.report.schemas docs/schemas`` writes them.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE: Final = re.compile(r"    (\w+): (.*)")


class _Records(GenerateJsonSchema):
    """Schemas of records as `report.plain` writes them, described by the docstrings of their classes."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """A number, or null where it is not finite: JSON has no infinity."""
        return {**super().float_schema(schema), "type": ["number", "null"]}

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Records are written whole, also the fields that have a default in Python."""
        return self.mode == "serialization" or super().field_is_required(field, total)

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """The summary of the docstring describes the object, its Attributes section the fields."""
        result = super().dataclass_schema(schema)
        documentation = inspect.getdoc(schema["cls"]) or ""
        result["description"] = documentation.partition("\n")[0]
        for name, text in _attributes(documentation):
            if name in result["properties"]:
                result["properties"][name]["description"] = text
        return result


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its document."""
    from coralsmith.compat.report import SCHEMA as CHECK
    from coralsmith.compat.report import CheckReport
    from coralsmith.compiled.inspection_report import SCHEMA as INSPECT
    from coralsmith.compiled.inspection_report import Inspection
    from coralsmith.compiled.recovery.record import SCHEMA as DECOMPILE
    from coralsmith.compiled.recovery.record import Decompilation
    from coralsmith.compiled.verification.report import SCHEMA as VERIFY
    from coralsmith.compiled.verification.report import VerifyReport
    from coralsmith.compiler.run import SCHEMA as COMPILE
    from coralsmith.compiler.run import Compilation
    from coralsmith.deploy.record import SCHEMA as BUNDLE
    from coralsmith.deploy.record import BundleReport
    from coralsmith.detection.head_document import HeadDocument
    from coralsmith.evaluation.document import SCHEMA as EVALUATE
    from coralsmith.evaluation.document import EvaluationReport
    from coralsmith.findings import EXAMINATION_SCHEMA, Examination
    from coralsmith.recipe import Recipe
    from coralsmith.report.document import SCHEMA as REPORT
    from coralsmith.report.document import ConversionReport, DetectionRecord, QuantizedFile
    from coralsmith.runtime.profile_report import SCHEMA as PROFILE
    from coralsmith.runtime.profile_report import ProfileReport

    check = _record(CheckReport, "coralsmith check --json", CHECK)
    report = _record(ConversionReport, "report.json, coralsmith convert --json", REPORT)
    _nest(report, "check", check)
    return {
        "report": report,
        "check": check,
        "compile": _record(Compilation, "coralsmith compile --json", COMPILE),
        "inspect": _record(Inspection, "coralsmith inspect --json", INSPECT),
        "verify": _record(VerifyReport, "coralsmith verify --json", VERIFY),
        "decompile": _record(Decompilation, "coralsmith decompile --json", DECOMPILE),
        "bundle": _record(BundleReport, "coralsmith bundle --json", BUNDLE),
        "doctor": _record(Examination, "coralsmith doctor --json", EXAMINATION_SCHEMA),
        "evaluate": _record(EvaluationReport, "coralsmith evaluate --json", EVALUATE),
        "profile": _record(ProfileReport, "coralsmith profile --json", PROFILE),
        "quantize": _record(QuantizedFile, "coralsmith quantize --json"),
        "detect": _record(dict[str, list[DetectionRecord]], "coralsmith detect --json"),
        "head": _model(HeadDocument, "head.json, coralsmith head --json", "serialization"),
        "recipe": _model(Recipe, "The file of --recipe", "validation"),
    }


def write_schemas(folder: Path) -> None:
    """Write one file `<name>.json` for each schema."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, "utf-8")


def _record(kind: Any, title: str, identifier: str | None = None) -> dict[str, Any]:
    """The schema of a dataclass, or of a container of them; `identifier` is what its field `schema` says."""
    schema = TypeAdapter(kind).json_schema(schema_generator=_Records, mode="serialization")
    if identifier is not None:
        schema["properties"]["schema"] = {"const": identifier, "description": "Name and version of this document."}
    return {**schema, "$schema": DIALECT, "title": title}


def _model(kind: Any, title: str, mode: JsonSchemaMode) -> dict[str, Any]:
    """The schema of a pydantic model."""
    return {**TypeAdapter(kind).json_schema(mode=mode), "$schema": DIALECT, "title": title}


def _nest(schema: dict[str, Any], field: str, inner: dict[str, Any]) -> None:
    """Say that a field, which Python only knows as a dictionary, holds another document."""
    definitions = inner.get("$defs", {})
    document = {key: value for key, value in inner.items() if key not in ("$defs", "$schema")}
    schema["$defs"] = {**definitions, **schema["$defs"], field: document}
    schema["properties"][field] = {"$ref": f"#/$defs/{field}"}


def _attributes(documentation: str) -> Iterator[tuple[str, str]]:
    """Names and texts of the Attributes section of a docstring in Google style."""
    _, _, section = documentation.partition("\nAttributes:\n")
    name, words = "", [""]
    for line in section.splitlines():
        if match := _ATTRIBUTE.fullmatch(line):
            if name:
                yield name, " ".join(words)
            name, words = match[1], [match[2]]
        elif line.strip():
            words.append(line.strip())
    if name:
        yield name, " ".join(words)


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
