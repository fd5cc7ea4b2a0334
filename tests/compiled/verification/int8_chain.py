"""A chain of small int8 layers, and a compiled file of it as the compiler would write it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from coralsmith.compiled.executable import Bitstream, DmaHint, Executable, Layer
from coralsmith.compiled.package import CUSTOM_OPERATOR, CompiledModel, Package
from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.verification.source_layers import SourceLayer, source_layers
from coralsmith.graph.model import Graph, Op, Quant, Tensor
from tests.builders import activation, constant
from tests.compiled.test_program import Bits

_FIRST_BLOCK = 5
_NEXT_BLOCK = 40


def chain(*widths: int, seed: int = 0, twins: tuple[int, int] | None = None) -> Graph:
    """Fully connected layers from each width to the next, without scales or zero points in common.

    `twins` are the indices of two layers that have the same weights.
    """
    random = np.random.default_rng(seed)
    flow = activation("input", (1, widths[0]), np.int8, Quant.per_tensor(0.02, 3))
    ops: list[Op] = []
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        weights = random.integers(-127, 128, (outputs, inputs), np.int8)
        bias = random.integers(-500, 500, outputs, np.int32)
        if twins and number == twins[1]:
            weights, bias = ops[twins[0]].inputs[1].data, ops[twins[0]].inputs[2].data
        output = activation(f"layer {number}", (1, outputs), np.int8, Quant.per_tensor(0.03 + number / 99, number))
        filters = constant(f"weights {number}", weights, quant=Quant.per_tensor(0.01, 0))
        biases = constant(f"bias {number}", bias)
        ops.append(Op("FULLY_CONNECTED", [flow, filters, biases], [output], {"fused_activation_function": "NONE"}))
        flow = output
    graph = Graph(ops, [ops[0].inputs[0]], [flow])
    graph.verify("building the chain")
    return graph


def layers_of(graph: Graph) -> list[SourceLayer]:
    return source_layers(graph, range(len(graph.ops)), [14])


def blob_of(graph: Graph) -> bytes:
    """The parameters as the compiler lays them out: layer behind layer."""
    return b"".join(layer.packed(layer.forms[0]) for layer in layers_of(graph))


def compiled_chain(
    graph: Graph, blob: bytes | None = None, blocks: list[RequantBlock] | None = None, streamed: bytes = b""
) -> CompiledModel:
    """The chain after a compiler that writes `blob` and `blocks`; by default those of the chain."""
    content = blob_of(graph) if blob is None else blob
    bits = Bits(_FIRST_BLOCK + _NEXT_BLOCK * (len(graph.ops) + 1))
    for block in blocks_of(graph) if blocks is None else blocks:
        bits.put_block(block)
    stream = Bitstream(memoryview(bits.value.to_bytes(16 * bits.bundles, "little")), ())
    source, output = graph.inputs[0], graph.outputs[0]
    sides = (_layer(source),), (_layer(output),)
    hints = (
        DmaHint("instructions", "infeed"),
        DmaHint("descriptor", "infeed", "input", source.name, 0, source.elements),
        DmaHint("descriptor", "outfeed", "output", output.name, 0, output.elements),
    )
    if streamed:
        hints += (DmaHint("descriptor", "infeed", "parameter", "", 0, len(streamed)),)
    caching = DmaHint("instructions", "infeed"), DmaHint("descriptor", "infeed", "parameter", "", 0, len(content))
    programs = (
        _executable("EXECUTION_ONLY", stream, streamed, hints, *sides),
        _executable("PARAMETER_CACHING", stream, content, caching, (), ()),
    )
    op = Op("CUSTOM", [source], [output], custom_code=CUSTOM_OPERATOR)
    return CompiledModel(Graph([op], [source], [output]), (Package(14, programs),), ())


def blocks_of(graph: Graph) -> list[RequantBlock]:
    blocks = []
    for number, layer in enumerate(layers_of(graph)):
        values = layer.constants
        blocks.append(
            RequantBlock(
                _FIRST_BLOCK + number * _NEXT_BLOCK,
                float(values.multiplier),
                float(values.clamp_min),
                float(values.clamp_max),
                values.bias,
                values.output_zero_point,
                values.input_zero_point,
                values.weight_zero_point,
            )
        )
    return blocks


def _layer(tensor: Tensor) -> Layer:
    scale, zero_point = float(tensor.quant.scale[0]), int(tensor.quant.zero_point[0]) + 128
    shape = (1, 1, *tensor.shape)[-3:]
    return Layer(tensor.name, tensor.elements, shape, zero_point, scale, "int8")


def _executable(kind: str, stream: Bitstream, parameters: bytes, hints, inputs, outputs) -> Executable:
    return Executable(
        kind=kind,
        name="",
        version=0,
        chip="beagle",
        batch_size=1,
        bitstreams=(stream,),
        parameters=memoryview(parameters),
        dma_hints=hints,
        fully_deterministic=True,
        inputs=inputs,
        outputs=outputs,
        scratch_bytes=0,
        narrow_memory_bytes=0,
        estimated_cycles=0,
        caching_token=1,
    )
