"""What `coralsmith decompile` says: what was recovered, what of it is exact, what was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.terminal_parts import findings, headline, labelled, pairs_table, safe, standard_output

if TYPE_CHECKING:
    from coralsmith.compiled.recovery.record import Decompilation, RecoveredOperator
    from coralsmith.compiled.recovery.spatial import SpatialVerdict

_SOURCES: Final = {
    "parameters": "weights and constants read, exact",
    "instructions": "constants read, exact",
    "topology": "no numbers of its own",
    "file": "kept as it stood in the compiled file",
}
_SPATIAL: Final[dict[SpatialVerdict, str]] = {
    "confirmed": "confirmed by the memory they take",
    "near": "the memory they take is nearly that of the file",
    "contradicted": "contradicted by the memory they take",
    "open": "not confirmed by anything",
}


def print_decompilation(result: Decompilation, *, verbose: bool = False, console: Console | None = None) -> None:
    """The recovered model, the proof, what was chosen; every operator on demand."""
    console = console or standard_output()
    text = f"{wording.count(result.layers, 'layer')} with weights, topology: {result.topology}"
    title = "Recovered: the numbers are proved against the compiled file"
    colour = "yellow" if result.spatial.verdict == "contradicted" else "green"
    headline(console, title, text, name=result.output.name, colour=colour)
    pairs_table(console, _figures(result))
    if verbose:
        console.print(Text("\nOperators", "bold"))
        for index, operator in enumerate(result.operators):
            _operator(console, index, operator)
    findings(console, result.findings, verbose=verbose)
    console.print(labelled(console, "\nWritten: ", result.output), soft_wrap=True)


def _figures(result: Decompilation) -> Iterator[tuple[str, ...]]:
    off = sum(operator.multipliers_off for operator in result.operators)
    total = sum(operator.multipliers for operator in result.operators)
    added = result.parameter_bytes - result.layer_bytes
    yield ("Weights and zero points", "exact", f"biases too: {wording.size(result.layer_bytes)} of parameters")
    if added:
        yield ("Added by the compiler", wording.size(added), "matrices that move values about; not needed")
    near = f"{off} of {total} off by one float32 step" if off else "computed again they are those of the file"
    yield ("Multipliers", "nearly exact" if off else "exact", near)
    free = "the others change no integer" if result.scales_free else ""
    yield ("Scales", f"{result.scales_total - result.scales_free} of {result.scales_total} read", free)
    yield ("Strides, paddings, windows", "of the topology", _SPATIAL[result.spatial.verdict])
    kept = Counter(operator.source for operator in result.operators)["file"]
    if kept:
        yield ("Operators of the CPU", str(kept), _SOURCES["file"])


def _operator(console: Console, index: int, operator: RecoveredOperator) -> None:
    name = safe(console, wording.short_name(operator.name))
    console.print(Padding(Text.assemble(f"{index:>3}  {operator.kind}  ", name), (0, 0, 0, 2)))
    output = operator.output
    parts = [
        _SOURCES[operator.source],
        "" if output is None else f"scale {output.scale:.6g} ({output.origin}), zero point {output.zero_point}",
        "" if operator.offset is None else f"{operator.bytes:,} bytes at {operator.offset:,}",
        operator.tap_order if operator.tap_order != "the only order" else "",
    ]
    console.print(Padding(safe(console, ", ".join(filter(None, parts)), "dim"), (0, 0, 0, 7), expand=False))
