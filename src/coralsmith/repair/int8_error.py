"""What an element-wise form loses in 8 bits, measured with LiteRT's own int8 kernels.

This compares forms of one operator before the model is calibrated; it is no quantization of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coralsmith.graph import Array, Graph, Quant, Tensor
from coralsmith.graph.executor import Executor, real_outputs
from coralsmith.repair.samples import signal_to_noise

INT8 = np.dtype(np.int8)


def int8_sqnr(form: Graph, samples: Sequence[Array]) -> float:
    """Signal-to-noise ratio of an element-wise graph in int8 against itself in float.

    Every tensor gets one scale from the smallest and largest value that it takes on the samples.

    Args:
        form: A float graph of one input and one output.
        samples: Values of its input.

    Returns:
        The ratio in dB, over all samples.
    """
    executor = Executor(form, keep_all=True)
    ranges: dict[Tensor, tuple[float, float]] = {}
    expected = []
    for sample in samples:
        executor.invoke(sample)
        for tensor in form.tensors():
            value = tensor.data if tensor.data is not None else executor.value(tensor)
            low, high = ranges.get(tensor, (0.0, 0.0))
            ranges[tensor] = min(low, float(value.min())), max(high, float(value.max()))
        expected.append(executor.value(form.outputs[0]))
    twin = _int8_twin(form, ranges)
    return signal_to_noise(expected, _run(twin, samples))


def _int8_twin(form: Graph, ranges: dict[Tensor, tuple[float, float]]) -> Graph:
    """The same operators over int8 tensors with scales from these ranges."""
    twin = form.copy()
    for tensor, (low, high) in zip(twin.tensors(), (ranges[t] for t in form.tensors()), strict=True):
        scale = max((high - low) / 255.0, 1e-9)
        tensor.quant = Quant.per_tensor(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))
        tensor.dtype = INT8
        if tensor.data is not None:
            tensor.data = tensor.quant.quantize(tensor.data, INT8)
    return twin


def _run(twin: Graph, samples: Sequence[Array]) -> list[Array]:
    quant = twin.inputs[0].quant
    assert quant is not None, "every tensor of the twin is quantized"
    executor = Executor(twin)
    results = []
    for sample in samples:
        executor.invoke(quant.quantize(sample, INT8))
        results.append(real_outputs(executor)[0])
    return results
