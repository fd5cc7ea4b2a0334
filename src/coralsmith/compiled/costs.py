"""What a compiled model costs beyond its computation for every image: streaming, spilling, CPU operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from coralsmith.compiled.package import CompiledModel, is_edgetpu_operator
from coralsmith.compiled.rules import inspection_rule
from coralsmith.edgetpu.activations import TILE_BYTES
from coralsmith.findings import Finding
from coralsmith.graph.model import Op

Place = Literal["before", "between", "after"]

_NEARLY_FULL: Final = 0.9
_SLOWEST_STREAMING_MS_PER_MIB: Final = 18  # of convolutions; see rules.json

# Where the output channels are in the filter: what one output value costs is the filter over that.
_OUTPUT_AXIS: Final = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


def cpu_places(model: CompiledModel) -> list[tuple[int, Op, Place]]:
    """The operators on the CPU, with their numbers in execution order and their place around the Edge TPU.

    All are "before" where nothing runs on the Edge TPU.
    """
    on_chip = [index for index, op in enumerate(model.graph.ops) if is_edgetpu_operator(op)]
    first, last = (on_chip[0], on_chip[-1]) if on_chip else (len(model.graph.ops), len(model.graph.ops))
    return [
        (index, op, "before" if index < first else "after" if index > last else "between")
        for index, op in enumerate(model.graph.ops)
        if not is_edgetpu_operator(op)
    ]


def multiply_accumulates(op: Op) -> int | None:
    """Multiply-accumulates of one run of an operator with weights; None for any other."""
    axis = _OUTPUT_AXIS.get(op.kind)
    filters = None if axis is None else op.input("filter")
    if axis is None or filters is None or axis >= len(filters.shape) or not op.outputs:
        return None
    return op.output.elements * filters.elements // max(filters.shape[axis], 1)


def cost_findings(model: CompiledModel) -> Iterator[Finding]:
    """What makes a compiled model slower than it could be, each with its measured size."""
    for op, package in zip(model.edgetpu_ops, model.packages, strict=True):
        if package.streamed_bytes:
            yield inspection_rule("parameters-streamed").finding(
                op=op.name, measured=_streaming(package.streamed_bytes)
            )
        for executable in package.executables:
            if executable.scratch_bytes:
                yield inspection_rule("host-scratch").finding(
                    op=op.name, measured=f"{executable.scratch_bytes:,} B"
                )
            if _NEARLY_FULL * TILE_BYTES <= executable.narrow_memory_bytes <= TILE_BYTES:
                yield inspection_rule("activation-memory-full").finding(
                    op=op.name, measured=f"{executable.narrow_memory_bytes:,} B"
                )
    if len(model.packages) > 1:
        yield inspection_rule("several-programs").finding(measured=f"{len(model.packages)} programs")
    if model.packages:
        yield from _cpu_findings(model)


def _streaming(size: int) -> str:
    # Here, because most models stream nothing and the import takes longer than the inspection.
    from coralsmith.edgetpu.latency_constants import streaming_ms_per_mib

    mebibytes = size / 2**20
    low, high = streaming_ms_per_mib("usb") * mebibytes, _SLOWEST_STREAMING_MS_PER_MIB * mebibytes
    return f"{size:,} B, about {low:.1f} to {high:.1f} ms for every image over USB 3"


def _cpu_findings(model: CompiledModel) -> Iterator[Finding]:
    places = cpu_places(model)
    for place in ("before", "between", "after"):
        ops = [op for _, op, where in places if where == place]
        if ops:
            yield inspection_rule(f"cpu-{place}").finding(op=ops[0].name, measured=_described(ops))
    computing = [(op, work) for _, op, _ in places if (work := multiply_accumulates(op)) is not None]
    if computing:
        total = sum(work for _, work in computing)
        yield inspection_rule("cpu-computes").finding(
            op=computing[0][0].name,
            measured=f"{_counted([op for op, _ in computing])}: {total:,} multiply-accumulates for every image",
        )


def _described(ops: Sequence[Op]) -> str:
    values = sum(tensor.elements for op in ops for tensor in op.activations())
    return f"{_counted(ops)}, reading {values:,} values"


def _counted(ops: Sequence[Op]) -> str:
    counts = Counter(op.custom_code or op.kind for op in ops)
    return ", ".join(f"{amount} {kind}" for kind, amount in counts.most_common(6)) + (
        f" and {len(counts) - 6} other kinds" if len(counts) > 6 else ""
    )
