"""Reads what the Edge TPU compiler wrote: the operators left on the CPU and the packages for the chip.

Sources: libedgetpu `tflite/custom_op_data.cc` (options of the custom operator) and `executable/executable.fbs`
(package); field numbers below are positions in that schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coralsmith.compiled.executable import Executable, read_executable
from coralsmith.errors import MalformedModelError
from coralsmith.graph.flatbuffer import FlatbufferError, Table, TableBudget
from coralsmith.graph.flexbuffer import FLEXBUFFER_DAMAGE, flexbuffer_map
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.reader import parse_tflite, read_tflite

CUSTOM_OPERATOR: Final = "edgetpu-custom-op"

_PACKAGE_KEY: Final = "4"
_PACKAGE_IDENTIFIER: Final = b"DWN1"
_CHIPS_KEY: Final = "6"
_MOST_CHIPS: Final = 64
_MOST_OPTIONS: Final = 64  # the compiler writes at most seven


@dataclass(frozen=True)
class Package:
    """What one Edge TPU custom operator holds.

    Attributes:
        min_runtime: Oldest runtime version that takes it: 10 for compiler 1.0, 14 for 16.0 unless `-m` said else.
        executables: Its programs, in the order of the file: EXECUTION_ONLY before PARAMETER_CACHING.
        compiler: What the compiler calls itself; never more than "cl/" and a number.
        model: Identifier of the model; empty in all published files.
        virtual_chip: 0 for one chip.
        chips: Chip numbers from the options of the custom operator; 18 is the Edge TPU. Empty in older files.
    """

    min_runtime: int
    executables: tuple[Executable, ...]
    compiler: str = ""
    model: str = ""
    virtual_chip: int = 0
    chips: tuple[int, ...] = ()

    def executable(self, kind: str) -> Executable | None:
        """The first executable of a kind; None where there is none."""
        return next((e for e in self.executables if e.kind == kind), None)

    @property
    def main_executable(self) -> Executable | None:
        """The program of the inference, as the runtime chooses it; None where there is none.

        Source: libedgetpu `driver/package_registry.cc`, GetMainExecutableFromExecutableMap.
        """
        if len(self.executables) == 1:
            return self.executables[0]
        return self.executable("STAND_ALONE") or self.executable("EXECUTION_ONLY")

    @property
    def on_chip_bytes(self) -> int:
        """Parameters loaded once and cached on the chip."""
        return sum(len(e.parameters) for e in self.executables if e.kind == "PARAMETER_CACHING")

    @property
    def streamed_bytes(self) -> int:
        """Parameters sent with every inference."""
        return sum(len(e.parameters) for e in self.executables if e.kind != "PARAMETER_CACHING")


@dataclass(frozen=True)
class CompiledModel:
    """A model after the Edge TPU compiler.

    Attributes:
        graph: The file as it is, with the custom operators as operators of kind CUSTOM.
        packages: One for each Edge TPU custom operator, in execution order; none if the model is not compiled.
        cpu_ops: The operators that run on the CPU, in execution order.
    """

    graph: Graph
    packages: tuple[Package, ...]
    cpu_ops: tuple[Op, ...]

    @property
    def edgetpu_ops(self) -> tuple[Op, ...]:
        """The Edge TPU custom operators, in execution order; `packages` has the package of each."""
        return tuple(op for op in self.graph.ops if is_edgetpu_operator(op))


def read_compiled(path: str | Path, *, allow_stubs: bool = False) -> CompiledModel:
    """Read a compiled `.tflite` file.

    Args:
        path: The file; a model that was never compiled has no packages.
        allow_stubs: Whether a package may be without programs, for those who look into damaged files.

    Raises:
        InputError: As `read_tflite`.
        MalformedModelError: A custom operator holds no readable package, or one without programs.
    """
    return _compiled(read_tflite(path), allow_stubs=allow_stubs)


def parse_compiled(content: bytes, origin: str = "the model", *, allow_stubs: bool = False) -> CompiledModel:
    """Read the bytes of a compiled file; `origin` names them in errors. Raises like `read_compiled`."""
    return _compiled(parse_tflite(content, origin), allow_stubs=allow_stubs)


def _compiled(graph: Graph, *, allow_stubs: bool) -> CompiledModel:
    tables = TableBudget()
    packages = tuple(read_package(op.custom_options, tables) for op in graph.ops if is_edgetpu_operator(op))
    if not allow_stubs and not all(package.executables for package in packages):
        raise MalformedModelError(
            "The Edge TPU custom operator holds no program: a stub, which no runtime takes.",
            hint="Compile the model again, and look at what the compiler says.",
        )
    return CompiledModel(graph, packages, tuple(op for op in graph.ops if not is_edgetpu_operator(op)))


def is_edgetpu_operator(op: Op) -> bool:
    """Whether the operator is a program for the Edge TPU."""
    return op.kind == "CUSTOM" and op.custom_code == CUSTOM_OPERATOR


def read_package(custom_options: bytes, tables: TableBudget | None = None) -> Package:
    """Read the package inside the options of an Edge TPU custom operator.

    Args:
        custom_options: A FlexBuffer map whose key "4" holds the package.
        tables: What the packages of one file may have of tables together; None for a package alone.

    Raises:
        MalformedModelError: It is no such map, or the package is damaged.
    """
    try:
        options = flexbuffer_map(custom_options)
        most = max(len(options), len(options.Keys))  # the map and its keys count separately
        if most > _MOST_OPTIONS:
            raise FlatbufferError(f"it claims {most} options")
        content = memoryview(options[_PACKAGE_KEY].AsStringBytes)
        return _package(content, _chips(options), tables or TableBudget())
    except FLEXBUFFER_DAMAGE as error:
        raise MalformedModelError(
            f"The Edge TPU package of a custom operator cannot be read: {str(error) or 'it is damaged'}.",
            hint="The file was cut short, changed by another tool, or not written by the Edge TPU compiler.",
        ) from error


def _chips(options: Any) -> tuple[int, ...]:
    """The numbers of the chips, which older compilers leave out."""
    if _CHIPS_KEY not in [key.AsKey for key in options.Keys]:
        return ()
    chips = options[_CHIPS_KEY].AsVector
    if len(chips) > _MOST_CHIPS:
        raise FlatbufferError(f"it names {len(chips)} chips")
    return tuple(int(chips[i].AsInt) for i in range(len(chips)))


def _package(content: memoryview, chips: tuple[int, ...], tables: TableBudget) -> Package:
    package = Table.root(content, _PACKAGE_IDENTIFIER, tables)
    return Package(
        min_runtime=package.integer(0, "<i"),
        executables=_executables(package.content(1), tables),
        compiler=package.text(4),
        model=package.text(7),
        virtual_chip=package.integer(5, "<i"),
        chips=chips,
    )


def _executables(content: memoryview, tables: TableBudget) -> tuple[Executable, ...]:
    if not content:
        return ()
    serialized = Table.root(content, tables=tables).contents(0)
    return tuple(read_executable(Table.root(one, tables=tables)) for one in serialized)
