"""Will this model run on the Edge TPU, operator by operator; why not; what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from coralsmith.compat.fates import Prediction, predict
from coralsmith.compat.memory_findings import memory_findings
from coralsmith.compat.model_rules import computes_in_float, model_findings
from coralsmith.compat.operator_findings import operator_findings, partition_findings
from coralsmith.compat.report import SCHEMA, AllPartitions, CheckReport
from coralsmith.compiled.package import is_edgetpu_operator
from coralsmith.edgetpu.activations import activation_memory
from coralsmith.edgetpu.latency import Latency, estimate_latency, not_estimated
from coralsmith.edgetpu.memory import ParameterMemory, parameter_memory
from coralsmith.edgetpu.rules import rule
from coralsmith.edgetpu.support import NEWEST_RUNTIME, OLDEST_RUNTIME, Verdict, supported
from coralsmith.errors import UnsupportedModelError, UsageError
from coralsmith.findings import Finding, gravest_first
from coralsmith.graph.model import Graph

_SEVERAL: Final = not_estimated("of a model in several partitions only one measurement is known, ten times slower")


def check_graph(
    graph: Graph,
    *,
    model: str = "",
    min_runtime: int = NEWEST_RUNTIME,
    as_if_quantized: bool = False,
    all_partitions: bool = False,
) -> CheckReport:
    """Foretell what the Edge TPU compiler will do with a model.

    A float model is always judged as the int8 model that quantization would make of it. Whether being float is an
    error depends on what is to happen to it.

    Args:
        graph: A verified graph, float or quantized.
        model: Name of the model for the report.
        min_runtime: Oldest Edge TPU runtime that must run the compiled model, 10 to 14.
        as_if_quantized: The model is going to be quantized, so that being float is no reason to refuse it.
        all_partitions: The compiler is told to map every partition (`--enable_multiple_subgraphs`).

    Returns:
        Every operator's fate, parameter memory, and findings.

    Raises:
        UsageError: `min_runtime` is no runtime version.
        UnsupportedModelError: The model is the output of the compiler already.
    """
    if any(is_edgetpu_operator(op) for op in graph.ops):
        raise UnsupportedModelError(
            f"{model or 'The model'} is compiled for the Edge TPU already.",
            hint="Give the int8 model that it was compiled from.",
        )
    if not OLDEST_RUNTIME <= min_runtime <= NEWEST_RUNTIME:
        raise UsageError(f"There is no Edge TPU runtime version {min_runtime}: choose 10 to 14.")
    is_float = computes_in_float(graph)
    if is_float:
        graph = _with_plain_weights(graph)
    verdicts = [supported(op, min_runtime, as_if_quantized=is_float) for op in graph.ops]
    prediction = predict(graph, verdicts, all_partitions=all_partitions)
    mapped = [fate.index for fate in prediction.fates if fate.target == "edgetpu"]
    parameters = parameter_memory(graph, mapped, as_if_quantized=is_float, min_runtime=min_runtime)
    activations = activation_memory(graph, mapped)
    findings = [
        *_float_findings(is_float, as_if_quantized),
        *model_findings(graph, as_file=not is_float),
        *partition_findings(graph, verdicts, prediction, all_partitions=all_partitions),
        *operator_findings(graph, verdicts, prediction),
        *memory_findings(graph, parameters, activations),
    ]
    targets = [fate.target for fate in prediction.fates]
    several = all_partitions and len(prediction.partition_sizes) > 1
    return CheckReport(
        schema=SCHEMA,
        model=model,
        ops_total=len(targets),
        ops_edgetpu=targets.count("edgetpu"),
        ops_cpu=targets.count("cpu"),
        ops_unknown=targets.count("unknown"),
        ops_stranded=prediction.stranded,
        partitions=len(prediction.partition_sizes),
        all_partitions=_all_partitions(verdicts, prediction, asked=all_partitions),
        ops=prediction.fates,
        parameters=parameters,
        activations=activations,
        latency_ms=_SEVERAL if several else _latency(graph, prediction, parameters, as_if_quantized=is_float),
        findings=gravest_first(findings),
    )


def _latency(
    graph: Graph, prediction: Prediction, parameters: ParameterMemory, *, as_if_quantized: bool
) -> Latency:
    indices: dict[str, list[int]] = {"edgetpu": [], "unknown": [], "cpu": []}
    for fate in prediction.fates:
        indices[fate.target].append(fate.index)
    mapped, uncertain = indices["edgetpu"], indices["unknown"]
    return estimate_latency(graph, mapped, parameters, uncertain=uncertain, as_if_quantized=as_if_quantized)


def _with_plain_weights(graph: Graph) -> Graph:
    """A copy of a float graph whose 16-bit weights are constants, as they will be when it is quantized."""
    from coralsmith.importers.float_weights import expand_half_weights

    graph = graph.copy()
    expand_half_weights(graph)
    return graph


def _float_findings(is_float: bool, as_if_quantized: bool) -> Iterator[Finding]:
    if is_float:
        yield rule("assumed-quantized").finding()
        if not as_if_quantized:
            yield rule("not-quantized").finding()


def _all_partitions(verdicts: Sequence[Verdict], prediction: Prediction, *, asked: bool) -> AllPartitions:
    """With -a every supported operator is mapped, whatever it depends on."""
    support = [verdict.supported for verdict in verdicts]
    return AllPartitions(
        asked=asked,
        ops_edgetpu=support.count(True),
        ops_cpu=support.count(False),
        ops_unknown=support.count(None),
        custom_operators=None if None in support else len(prediction.partition_sizes),
        sizes=prediction.partition_sizes,
    )
