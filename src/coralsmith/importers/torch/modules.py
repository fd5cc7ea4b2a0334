"""Gets a PyTorch module from each kind of file, and an image that it takes."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coralsmith.errors import MalformedModelError, UnsupportedModelError, UsageError
from coralsmith.importers.formats import PYTORCH_PROGRAM, TORCHSCRIPT
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.torch.program_inspection import inspect_program

_TRUST = "If you trust where the file comes from, allow it with --trust."
_WRAPPERS = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class TorchSource:
    """A module ready to be run and exported.

    Attributes:
        call: From an image [1, channels, height, width] to tensors, nested in any way.
        exported: What the exporter takes: a module, or an exported program.
        shape: The image's shape.
        is_script: Whether it is TorchScript, which only the older exporter takes.
        notes: One sentence each.
    """

    call: Any
    exported: Any
    shape: tuple[int, int, int, int]
    is_script: bool = False
    notes: tuple[str, ...] = ()


def read_module(request: Request) -> TorchSource:
    """The module of a `.pt2` program, of weights with their factory, or of a trusted pickle.

    Raises:
        MalformedModelError: The file cannot be loaded.
        UnsupportedModelError: It would run code of its own and is not trusted, or takes no single image.
        UsageError: The factory is missing, cannot be imported, or makes no module.
    """
    if request.python_path is not None:
        sys.path.insert(0, request.python_path)
    if request.format == PYTORCH_PROGRAM:
        return _program(request)
    if request.format == TORCHSCRIPT:
        return _script(request)
    return _weights(request)


def _program(request: Request) -> TorchSource:
    import torch

    inspect_program(Path(request.path), trust=request.trust)
    program = _loaded(lambda: torch.export.load(request.path), "program")
    inputs = [spec for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    example = program.example_inputs
    shapes = [tuple(value.shape) for value in example[0]] if example else []
    if len(inputs) != 1 or len(shapes) != 1:
        raise UnsupportedModelError(
            f"The PyTorch program has {len(inputs)} inputs and {len(shapes)} examples of them, not one image.",
            hint="Export it with one example image: torch.export.export(model, (image,)).",
        )
    shape = _image_shape(shapes[0], request.input_size)
    if shape != shapes[0]:
        raise UnsupportedModelError(
            f"The PyTorch program takes {list(shapes[0])}.", hint="Leave the input size out, or export it again."
        )
    return TorchSource(program.module(), program, shape)


def _script(request: Request) -> TorchSource:
    import torch

    assert request.trust, "asked before the child was started"
    script = _loaded(lambda: torch.jit.load(request.path, map_location="cpu"), "TorchScript file").eval()
    return TorchSource(script, script, _size_asked(request), is_script=True)


def _weights(request: Request) -> TorchSource:
    """A checkpoint: a dictionary of weights for the factory's module, or with --trust a whole pickled module."""
    import torch

    content = _checkpoint(request)
    if isinstance(content, torch.nn.Module):
        module = content
    elif request.factory is None:
        raise UsageError(
            "The file holds weights only, and not the module that they belong to.",
            hint="Name a function that makes it: --factory package.module:function.",
        )
    else:
        module = _made(request)
        _fill(module, content)
    return TorchSource(module.eval(), module.eval(), _size_asked(request))


def _checkpoint(request: Request) -> Any:
    import torch

    try:
        return torch.load(request.path, map_location="cpu", weights_only=not request.trust)
    except Exception as error:  # torch raises many types, documented nowhere
        text = str(error)
        if not request.trust and ("weights_only" in text or "WeightsUnpickler" in text):
            raise UnsupportedModelError(
                "The PyTorch file holds more than weights (a whole module, say), and loading that runs code.",
                hint=f"Save only the weights: torch.save(model.state_dict(), path). {_TRUST}",
            ) from error
        raise _damaged("file", error) from error


def _loaded(load: Any, what: str) -> Any:
    try:
        return load()
    except Exception as error:  # torch raises many types, documented nowhere
        raise _damaged(what, error) from error


def _damaged(what: str, error: Exception) -> MalformedModelError:
    return MalformedModelError(
        f"torch cannot load the {what}. {essential_line(error)}",
        hint="Save or copy it again, with a torch that is not newer than the one here.",
    )


def _made(request: Request) -> Any:
    """The module that the user's factory makes; it is the user's own code, named by the user."""
    import torch

    assert request.factory is not None, "asked before"
    name, _, function = request.factory.partition(":")
    if not name or not function:
        raise UsageError(f"'{request.factory}' is no factory.", hint="Write it as package.module:function.")
    try:
        factory = getattr(importlib.import_module(name), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The factory '{request.factory}' cannot be imported. {essential_line(error)}",
            hint="Its package must be installed, or lie in the folder that you work in.",
        ) from error
    try:
        module = factory()
    except Exception as error:
        raise UsageError(f"The factory '{request.factory}' failed. {essential_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"The factory '{request.factory}' made a {type(module).__name__}, not a torch.nn.Module.")
    return module


def _fill(module: Any, content: Any) -> None:
    """Load the weights, out of the dictionaries that training scripts put around them."""
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise MalformedModelError(
            f"The PyTorch file holds a {type(content).__name__}, not a dictionary of weights."
        )
    weights = {str(name).removeprefix("module."): value for name, value in content.items()}
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise UnsupportedModelError(
            f"The weights do not fit the factory's module. {_first_mismatch(error)}",
            hint="The factory must make the module as it was trained: number of classes, width, names.",
        ) from error
    if missing or unexpected:
        example = f"'{(missing or unexpected)[0]}'"
        raise UnsupportedModelError(
            f"The weights do not fit the factory's module: {len(missing)} are missing and {len(unexpected)} are "
            f"left over, {example} for one.",
            hint="The factory must make the module as it was trained: number of classes, width, names.",
        )


def _first_mismatch(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line[:200] for line in lines if "size mismatch" in line), essential_line(error))


def _size_asked(request: Request) -> tuple[int, int, int, int]:
    assert request.input_size is not None, "asked before the child was started"
    return (1, 3, *request.input_size)


def _image_shape(shape: tuple[int, ...], size: tuple[int, int] | None) -> tuple[int, int, int, int]:
    if len(shape) != 4 or shape[0] != 1 or shape[1] not in (1, 3):
        raise UnsupportedModelError(
            f"The PyTorch program takes {list(shape)}, not one image [1, 3, height, width].",
            hint="Export it with one example image: torch.export.export(model, (image,)).",
        )
    height, width = size or (shape[2], shape[3])
    return 1, shape[1], height, width
