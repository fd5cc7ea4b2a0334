"""Cross-layer equalisation: each channel gets the unit in which the integers are used best.

One scale serves all channels of an activation (and, with per-tensor weights, all channels of a layer), so a
channel that is small beside the others is left with few steps. Multiplying it where it is written and dividing it
where it is read changes nothing but that (Nagel et al. 2019, "Data-free quantization through weight equalization
and bias correction"; here with observed ranges of the activations as a third party, over whole residual chains).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.quantization.channel_groups import ChannelGroup, channel_groups
from coralsmith.quantization.options import Equalization, Weights
from coralsmith.quantization.rules import WEIGHTED
from coralsmith.repair.samples import MAX_SAMPLES, Difference, Samples

# Keeps nearly dead channels from overflowing.
_LARGEST_FACTOR: Final = 2.0**16
# Neighbouring groups settle within a few sweeps: no factor then changes by more than a hundredth.
_SWEEPS: Final = 20
_SETTLED: Final = 0.01
# Largest difference of an output, in parts of its range: what other roundings in some fifty layers add up to.
TOLERANCE: Final = 5e-5
# A channel within this factor of the clamp is taken to be cut off by it, so that its unit cannot change.
_AT_CEILING: Final = 1.02


@dataclass(frozen=True)
class Balance:
    """How much each party has a say in a channel's unit: the logarithms of their ranges are balanced by these.

    Attributes:
        activation: Range of the activation; alone, every channel gets the same range.
        writer: Range of the weights that compute the channel; without a say where they have scales of their own.
        reader: Range of the weights that read the channel.
    """

    activation: float
    writer: float
    reader: float


BALANCES: Final[Mapping[Weights, Balance]] = {
    "per-channel": Balance(1, 0, 0),
    "per-tensor": Balance(1, 1, 1),
}


def equalize(
    graph: Graph, groups: Iterable[ChannelGroup], peaks: Mapping[Tensor, Array], balance: Balance
) -> Graph:
    """A float graph that computes the same with better units.

    Args:
        graph: A float graph; it is not changed.
        groups: Groups of channels of `graph` whose units are free.
        peaks: The largest magnitude of each channel that the calibration images cause, for every activation of the
            groups.
        balance: Who has a say.

    Returns:
        A graph of the same operators and names, equal to the given one up to float rounding (groups with a
        ceiling: as long as no value exceeds its peak).
    """
    result = graph.copy()
    layers = dict(zip(graph.ops, result.ops, strict=True))
    open_groups = [_Group.of(group, peaks, layers) for group in groups]
    for _ in range(_SWEEPS):
        largest = max((group.step(balance) for group in open_groups), default=0.0)
        if largest < _SETTLED:
            break
    return result


def equalize_for(
    graph: Graph, inputs: Iterable[Array], mode: Equalization, weights: Weights
) -> tuple[Graph, list[Finding]]:
    """Equalise a float graph as the options ask, and prove on the interpreter that it computes the same.

    Args:
        graph: A float graph with one input; it is not changed.
        inputs: The calibration images.
        mode: Which groups take part.
        weights: How many scales the weights are to have.

    Returns:
        The equalised graph, or the given one where there is nothing to balance or the proof fails; findings.
    """
    groups = [g for g in channel_groups(graph) if mode == "clamped" or math.isinf(g.ceiling)]
    if mode == "off" or not groups:
        return graph, []
    peaks = channel_peaks(graph, inputs, [tensor for group in groups for tensor in group.tensors])
    result = equalize(graph, groups, peaks, BALANCES[weights])
    samples = Samples.of(graph, [[image] for image in islice(inputs, MAX_SAMPLES)])
    difference = Difference.between(samples.outputs(graph), samples.outputs(result))
    if difference.worst > TOLERANCE:
        return graph, [_unproved(difference.worst)]
    return result, []


@dataclass
class _Group:
    """A group of channels in the graph that is being changed: neighbours depend on each other's units.

    Attributes:
        writers: The layers that compute the channels.
        readers: The layers that read them.
        ceiling: Where a clamp cuts the values off; infinite where none does.
        peak: The largest magnitude of each channel in its present unit, float64 [channels].
        factor: What the channels have been multiplied by so far, float64 [channels].
    """

    writers: list[Op]
    readers: list[Op]
    ceiling: float
    peak: Array
    factor: Array

    @staticmethod
    def of(group: ChannelGroup, peaks: Mapping[Tensor, Array], layers: Mapping[Op, Op]) -> _Group:
        peak = np.max([peaks[tensor] for tensor in group.tensors], axis=0).astype(np.float64)
        writers, readers = [layers[op] for op in group.writers], [layers[op] for op in group.readers]
        return _Group(writers, readers, group.ceiling, peak, np.ones(group.channels))

    def step(self, balance: Balance) -> float:
        """Change the units to what suits the neighbours as they are; the largest change, as a logarithm."""
        written = np.max([_output_peaks(op) for op in self.writers], axis=0)
        read = np.max([_input_peaks(op) for op in self.readers], axis=0)
        change = channel_factors(self.peak, written, read, balance, self.ceiling, self.factor)
        for op in self.writers:
            _multiply_outputs(op, change)
        for op in self.readers:
            _divide_inputs(op, change)
        self.peak, self.factor = self.peak * change, self.factor * change
        return float(np.abs(np.log(change)).max())


def channel_factors(
    peak: Array, written: Array, read: Array, balance: Balance, ceiling: float, taken: Array | float = 1.0
) -> Array:
    """What each channel of a group is multiplied by, float32 [channels].

    The sum over the parties of weight * (log range - mean)^2 is least. Below a ceiling, no channel is made smaller
    than it was at first, or larger than the ceiling. A channel that is never seen differ from zero keeps its unit.

    Args:
        peak: Largest magnitude of each channel.
        written: Largest weight that computes each channel.
        read: Largest weight that reads each channel.
        balance: Who has a say.
        ceiling: Where a clamp cuts the values off.
        taken: What the channels have been multiplied by already.
    """
    alive = (peak > 0) & (written > 0) & (read > 0)
    factor = np.ones(peak.size)
    if not alive.any():
        return factor.astype(np.float32)
    wanted = (
        balance.reader * np.log(read[alive])
        - balance.writer * np.log(written[alive])
        - balance.activation * np.log(peak[alive])
    ) / (balance.activation + balance.writer + balance.reader)
    if math.isinf(ceiling):
        factor[alive] = np.exp(wanted - wanted.mean()).clip(1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    else:
        room = np.maximum(ceiling / peak[alive], 1.0)
        least = 1 / np.broadcast_to(taken, peak.shape)[alive]
        stuck = room * np.broadcast_to(taken, peak.shape)[alive] < _AT_CEILING
        start = wanted[stuck].mean() if stuck.any() else wanted.min()
        factor[alive] = np.clip(np.exp(wanted - start), least, room)
    return factor.astype(np.float32)


def channel_peaks(graph: Graph, inputs: Iterable[Array], tensors: Iterable[Tensor]) -> dict[Tensor, Array]:
    """The largest magnitude of every channel (last dimension) of the given activations over all inputs."""
    peaks = {tensor: np.zeros(tensor.shape[-1], np.float32) for tensor in tensors}
    executor = Executor(graph, keep_all=True)
    for image in inputs:
        executor.invoke(image)
        for tensor, peak in peaks.items():
            np.maximum(peak, _magnitudes(executor.view(tensor)), out=peak)
    return peaks


def _magnitudes(values: Array) -> Array:
    rows = values.reshape(-1, values.shape[-1])
    largest: Array = np.maximum(rows.max(axis=0), -rows.min(axis=0))
    return largest


def _output_peaks(op: Op) -> Array:
    """The largest weight that computes each output channel."""
    weights, axis = _weights(op), WEIGHTED[op.kind].channel_axis
    peaks: Array = np.abs(weights).max(axis=tuple(i for i in range(weights.ndim) if i != axis)).astype(np.float64)
    return peaks


def _input_peaks(op: Op) -> Array:
    """The largest weight that reads each input channel, which is the last dimension of all kinds of weights."""
    weights = _weights(op)
    peaks: Array = np.abs(weights).max(axis=tuple(range(weights.ndim - 1))).astype(np.float64)
    return peaks


def _multiply_outputs(op: Op, factor: Array) -> None:
    rule = WEIGHTED[op.kind]
    weights = _weights(op)
    shape = [1] * weights.ndim
    shape[rule.channel_axis] = -1
    _replace(op, rule.weights, weights * factor.reshape(shape))
    bias = op.inputs[rule.bias] if len(op.inputs) > rule.bias else None
    if bias is not None and bias.data is not None:
        _replace(op, rule.bias, bias.data * factor)


def _divide_inputs(op: Op, factor: Array) -> None:
    _replace(op, WEIGHTED[op.kind].weights, _weights(op) / factor)


def _weights(op: Op) -> Array:
    weights = op.inputs[WEIGHTED[op.kind].weights]
    assert weights is not None and weights.data is not None, "weights are constant"
    return weights.data


def _replace(op: Op, position: int, values: Array) -> None:
    old = op.inputs[position]
    assert old is not None
    op.inputs[position] = Tensor.constant(old.name, values.astype(np.float32))


def _unproved(measured: float) -> Finding:
    return Finding(
        "equalization-not-proved",
        "warning",
        "Balancing the channels was dropped: the outputs of the float model changed by more than rounding.",
        fix="Report this as a bug of coralsmith, with the model if you may share it.",
        measured=f"{measured:.3g} of the output's range",
        limit=f"{TOLERANCE:g}",
        evidence="measured on the CPU interpreter",
    )
