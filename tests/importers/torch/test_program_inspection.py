"""What of a `.pt2` file would run code while it is loaded, and is refused before torch sees it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.importers.torch import program_inspection
from coralsmith.importers.torch.program_inspection import inspect_program


def written(folder: Path, *, files: dict[str, bytes] | None = None, **document: Any) -> Path:
    """A program whose only node is a convolution, changed as asked."""
    node = {"target": "torch.ops.aten.conv2d.default", "inputs": [{"name": "x", "arg": {"as_int": 1}}]}
    graph = {"nodes": [node], "signature": {"input_specs": [{"target": "torch_like.weight"}]}}
    content = {"graph_module": {"graph": graph}, "guards_code": [], "range_constraints": {}, **document}
    path = folder / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/models/model.json", json.dumps(content))
        for name, data in (files or {}).items():
            archive.writestr(name, data)
    return path


def call(target: str) -> dict[str, Any]:
    return {"graph_module": {"nodes": [{"target": target, "inputs": []}]}}


def test_a_network_of_fixed_shapes_passes(tmp_path: Path) -> None:
    inspect_program(written(tmp_path), trust=False)


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.hub.load", "_operator.call", "math.pow", "#extension", "torch.ops.own.run.out"],
)
def test_calls_of_anything_but_operators_are_refused(tmp_path: Path, target: str) -> None:
    path = written(tmp_path, **call(target))
    with pytest.raises(UnsupportedModelError, match=rf"calls '{target}'") as caught:
        inspect_program(path, trust=False)
    assert "--trust" in caught.value.hint
    inspect_program(path, trust=True)


def test_a_function_handed_on_as_a_value_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, more=[{"as_operator": "torch.os.system"}])
    with pytest.raises(UnsupportedModelError, match="calls"):
        inspect_program(path, trust=False)


@pytest.mark.parametrize("size", ["__import__('os').system('true')", "s77", "s0*2"])
def test_sizes_that_would_be_evaluated_are_refused(tmp_path: Path, size: str) -> None:
    path = written(tmp_path, more=[{"as_expr": {"expr_str": size}}])
    with pytest.raises(UnsupportedModelError, match="leaves sizes open") as caught:
        inspect_program(path, trust=False)
    assert "dynamic_shapes" in caught.value.hint


def test_a_fixed_size_is_no_expression(tmp_path: Path) -> None:
    inspect_program(written(tmp_path, more=[{"as_expr": {"expr_str": "300"}}]), trust=False)


@pytest.mark.parametrize("conditions", [{"guards_code": ["True"]}, {"range_constraints": {"s77": [1, 8]}}])
def test_conditions_on_shapes_are_refused(tmp_path: Path, conditions: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModelError, match="its shapes have conditions"):
        inspect_program(written(tmp_path, **conditions), trust=False)


@pytest.mark.parametrize("name", ["m/data/aotinductor/a.so", "m/lib.so", "m/data/constants/custom_obj_0"])
def test_compiled_code_and_foreign_objects_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedModelError, match="holds code"):
        inspect_program(written(tmp_path, files={name: b"x"}), trust=False)


def test_an_archive_that_unpacks_to_too_much_is_refused_even_if_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_inspection, "MAX_BYTES", 1000)
    path = written(tmp_path, files={"m/data/weights/weight_0": bytes(2000)})
    with pytest.raises(UnsupportedModelError, match="unpacks to"):
        inspect_program(path, trust=True)


@pytest.mark.parametrize("damage", [b"{", b"[" * 100_000, b"\xff"])
def test_a_damaged_document_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/models/model.json", damage)
    with pytest.raises(MalformedModelError, match="damaged") as caught:
        inspect_program(path, trust=False)
    assert caught.value.hint
