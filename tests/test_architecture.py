"""The laws of docs/architecture.md that can be read off the source: the order of the rooms, who may do what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import coralsmith
from coralsmith.importers.importing import IMPORTERS

ROOT = Path(coralsmith.__file__).parent
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
ROOMS = re.findall(r"^\| `(\w+)/` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
FOUNDATION = {"graph", "errors", "findings", "progress"}
MOST_LINES = 400
FRAMEWORKS = {"tensorflow", "tf_keras", "keras", "torch", "onnx", "onnxruntime", "onnxslim"}

# The schema of the recipe file is generated where the schemas of all other documents are.
EXCEPTIONS = {("report/schemas.py", "recipe")}

# They run in the child processes of `importers/tensorflow_child.py` and `importers/{onnx,torch}/child.py` only.
CHILD_MODULES = {
    "importers/frozen_graph_network.py",
    "importers/frozen_graph_session.py",
    "importers/frozen_graph_structure.py",
    "importers/onnx/cleaning.py",
    "importers/onnx/constants.py",
    "importers/onnx/image_input.py",
    "importers/onnx/loading.py",
    "importers/onnx/session.py",
    "importers/onnx/translation.py",
    "importers/tensorflow_conversion.py",
    "importers/tensorflow_frozen_graph.py",
    "importers/tensorflow_graph_freezing.py",
    "importers/tensorflow_keras.py",
    "importers/tensorflow_saved_model.py",
    "importers/tfjs/graph_def.py",
    "importers/torch/child.py",
    "importers/torch/modules.py",
}

# Programs that are copied into bundles speak on the device; coralsmith never runs their main parts.
SPEAKING = ("cli.py", "cli_", "report/", "deploy/device/")


def sources() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


@cache
def tree(source: str) -> ast.Module:
    return ast.parse((ROOT / source).read_text("utf-8"))


def imported(source: str) -> Iterator[str]:
    """The dotted names that a file imports, anywhere in it."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_table_names_every_room() -> None:
    assert sorted(ROOMS) == sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    allowed = FOUNDATION | set(ROOMS[: ROOMS.index(room) + 1])
    own = [source for source in sources() if source.startswith(f"{room}/")]
    astray = {
        (source, name.split(".")[1])
        for source in own
        for name in imported(source)
        if name.startswith("coralsmith.") and name.split(".")[1] not in allowed
    }
    assert astray == {exception for exception in EXCEPTIONS if exception[0].startswith(f"{room}/")}


def framework_users() -> set[str]:
    return {source for source in sources() if any(name.split(".")[0] in FRAMEWORKS for name in imported(source))}


def test_frameworks_are_imported_in_the_child_process_and_where_models_are_trained_only() -> None:
    assert {source for source in framework_users() if not source.startswith("tuning/")} == CHILD_MODULES


def test_what_trains_is_imported_when_it_is_called() -> None:
    """torch takes seconds to import, and not everybody has it."""
    training = {dotted(source) for source in framework_users() if source.startswith("tuning/")}
    outside = [source for source in sources() if not source.startswith("tuning/")]
    hasty = {
        source
        for source in outside
        for node in tree(source).body
        if isinstance(node, ast.ImportFrom) and node.module in training
    }
    assert not hasty


def dotted(source: str) -> str:
    return ".".join(("coralsmith", *Path(source).with_suffix("").parts)).removesuffix(".__init__")


def reachable(*start: str) -> set[str]:
    """The files that some files import, and those that they import."""
    modules = {dotted(source): source for source in sources()}
    found, waiting = set(start), list(start)
    while waiting:
        for name in imported(waiting.pop()):
            target = modules.get(name) or modules.get(name.rpartition(".")[0])
            if target is not None and target not in found:
                found.add(target)
                waiting.append(target)
    return found


def test_no_command_reaches_the_modules_of_the_child_process() -> None:
    importers = {module.removeprefix("coralsmith.").replace(".", "/") + ".py" for module, _ in IMPORTERS.values()}
    assert not reachable("cli.py", *importers) & CHILD_MODULES


def test_no_file_is_longer_than_it_can_be_read_at_once() -> None:
    lengths = {source: (ROOT / source).read_text("utf-8").count("\n") for source in sources()}
    assert not {source: length for source, length in lengths.items() if length > MOST_LINES}


def speaks(node: ast.AST) -> bool:
    """Whether a piece of code writes to the terminal."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "print"
    return (
        isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr") and ast.unparse(node.value) == "sys"
    )


def test_only_the_command_line_and_the_report_speak_to_people() -> None:
    speakers = {source for source in sources() if any(speaks(node) for node in ast.walk(tree(source)))}
    assert not {source for source in speakers if not source.startswith(SPEAKING)}


def defined(source: str) -> set[str]:
    """The names at the top of a file."""
    names: set[str] = set()
    for node in ast.walk(tree(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def test_benchmarks_import_what_is_there() -> None:
    """They run rarely, and a name that has moved would be noticed when it is needed."""
    modules = {dotted(source): source for source in sources()}
    files = sorted((DOCUMENT.parents[1] / "benchmarks").rglob("*.py"))
    assert files
    missing = [
        (file.name, f"{node.module}.{alias.name}")
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("coralsmith.")
        for alias in node.names
        if f"{node.module}.{alias.name}" not in modules
        and (node.module not in modules or alias.name not in defined(modules[node.module]))
    ]
    assert not missing
