"""The graph of a `model.json` in the JSON form that protobuf itself reads and writes.

Two writers made such files. The converter of Python writes protobuf's own form. The one of 1.0, in JavaScript,
writes bytes as lists of character codes, also empty ones, where protobuf has base64 text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from coralsmith.errors import MalformedModelError
from coralsmith.importers.tfjs.manifest import EXPORT_AGAIN

_Rewrite = Callable[[Any], Any]


def canonical_topology(topology: dict[str, Any]) -> dict[str, Any]:
    """A GraphDef as JSON with every bytes field as base64 text; anything else is left for protobuf to judge.

    Raises:
        MalformedModelError: A bytes field holds something other than bytes, or attributes are nested too deeply.
    """
    try:
        rewritten: dict[str, Any] = _rewritten(topology, {"node": _each(_node), "library": _library})
    except RecursionError as error:
        raise MalformedModelError("The graph's attributes are nested too deeply.", hint=EXPORT_AGAIN) from error
    return rewritten


def _library(library: Any) -> Any:
    return _rewritten(library, {"function": _each(_function)})


def _function(function: Any) -> Any:
    return _rewritten(function, {"nodeDef": _each(_node), "attr": _attributes})


def _node(node: Any) -> Any:
    return _rewritten(node, {"attr": _attributes})


def _attributes(attributes: Any) -> Any:
    return (
        {name: _attribute(value) for name, value in attributes.items()}
        if isinstance(attributes, dict)
        else attributes
    )


def _attribute(value: Any) -> Any:
    listed = {"s": _each(_bytes), "tensor": _each(_tensor), "func": _each(_node)}
    return _rewritten(
        value, {"s": _bytes, "tensor": _tensor, "func": _node, "list": lambda values: _rewritten(values, listed)}
    )


def _tensor(tensor: Any) -> Any:
    return _rewritten(tensor, {"tensorContent": _bytes, "stringVal": _each(_bytes)})


def _bytes(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if not all(type(code) is int and 0 <= code < 256 for code in value):
        raise MalformedModelError("The graph has an attribute whose bytes are no bytes.", hint=EXPORT_AGAIN)
    return base64.b64encode(bytes(value)).decode("ascii")


def _each(rewrite: _Rewrite) -> _Rewrite:
    return lambda values: [rewrite(value) for value in values] if isinstance(values, list) else values


def _rewritten(value: Any, rewrites: dict[str, _Rewrite]) -> Any:
    """A JSON object with some members rewritten; any other value as it is."""
    if not isinstance(value, dict):
        return value
    return {key: rewrites[key](member) if key in rewrites else member for key, member in value.items()}
