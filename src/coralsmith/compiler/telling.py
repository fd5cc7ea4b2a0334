"""What is to be said about a compilation beyond the compiler's own words: on layers, attempts and partitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from coralsmith.compat.check import check_graph
from coralsmith.compiled.package import CompiledModel, read_compiled
from coralsmith.compiler.attempts import Trial
from coralsmith.compiler.layers import explain_layers, locate_failures
from coralsmith.compiler.options import FIRST_WITH_SEARCH
from coralsmith.compiler.outcome import Outcome
from coralsmith.compiler.single import Request
from coralsmith.compiler.trying import Tried
from coralsmith.edgetpu.support import NEWEST_RUNTIME
from coralsmith.errors import CoralsmithError
from coralsmith.findings import Finding

_MOST_NAMED: Final = 8
_MEASURED: Final = "compiler output: the attempts of this run"


def explain_outcome(request: Request, outcome: Outcome) -> list[Finding]:
    """The findings of one outcome, tied to the source layers."""
    graph = request.graphs[0] if len(request.graphs) == 1 else None
    findings = locate_failures(outcome.findings, outcome.stderr + outcome.stdout, graph)
    if not outcome.succeeded:
        return [*findings, *explain_layers(outcome.result, graph, None)]
    compiled = [read_compiled(output.path) for output in outcome.outputs]
    findings += _later_runtime_than_asked(request.options.min_runtime, compiled)
    on_cpu = [{op.name for op in model.cpu_ops} for model in compiled]
    if len(request.graphs) == 1:
        findings += explain_layers(outcome.result, graph, sorted(set().union(*on_cpu)))
    else:
        for output, names in zip(outcome.outputs, on_cpu, strict=True):
            findings += explain_layers(output.result, request.graphs[output.model], sorted(names))
    return findings


def explain_trying(request: Request, tried: Tried) -> list[Finding]:
    """What it means that the result is that of this attempt and not of the plain one."""
    return list(_about_trying(request, tried))


def fewer_than_foretold(request: Request, outcome: Outcome, version: int) -> Iterator[Finding]:
    """A finding where version 16, for which predictions are made, maps fewer operators of one whole model."""
    graph = request.graphs[0]
    if graph is None or len(outcome.outputs) != 1 or version < FIRST_WITH_SEARCH:
        return
    try:
        report = check_graph(graph, min_runtime=request.options.min_runtime or NEWEST_RUNTIME)
    except CoralsmithError:
        return
    if outcome.result.mapped >= report.ops_edgetpu:
        return
    on_cpu = {op.name for op in read_compiled(outcome.outputs[0].path).cpu_ops}
    missing = [fate.name for fate in report.ops if fate.target == "edgetpu" and fate.name in on_cpu]
    yield Finding(
        "fewer-mapped-than-predicted",
        "warning",
        f"The compiler mapped {outcome.result.mapped} operators, the prediction was {report.ops_edgetpu}.",
        "See the statuses of the operators; a report of this model helps to make the prediction better.",
        op=missing[0] if missing else None,
        measured=f"on the CPU: {_list(missing)}" if missing else None,
        evidence="compiler output: this run, against coralsmith check",
    )


def _about_trying(request: Request, tried: Tried) -> Iterator[Finding]:
    chosen = tried.chosen
    if request.options.segments > 1 and chosen is not None:
        yield _segments_belong_together(request.options.segments)
    if request.options.subgraphs and chosen is not None and (chosen.attempt.partitions or 0) > 1:
        yield _several_partitions(chosen, asked=True)
    plain = tried.trials[0]
    if plain.attempt.succeeded:
        return
    if chosen is None:
        if len(tried.trials) > 1:
            yield Finding(
                "no-attempt-succeeded",
                "info",
                f"None of {len(tried.trials)} attempts gave a compiled model; the first one's reasons are shown.",
                evidence=_MEASURED,
            )
        return
    if chosen.attempt.step == "plain":
        yield _at_random(plain, chosen)
    elif chosen.attempt.step == "min-runtime":
        yield _later_runtime(request)
    elif chosen.attempt.step == "subgraphs":
        yield _several_partitions(chosen, asked=False)
        yield from _culprit(plain, tried.suspects)
    else:
        yield _in_part(plain, chosen)
        yield from _culprit(plain, tried.suspects)


def _later_runtime_than_asked(asked: int | None, compiled: Sequence[CompiledModel]) -> Iterator[Finding]:
    """The package says which runtime it needs; a device with an older one refuses it."""
    needed = max(package.min_runtime for model in compiled for package in model.packages)
    if asked is not None and needed > asked:
        yield Finding(
            "newer-runtime-than-asked",
            "warning",
            f"The compiled model needs Edge TPU runtime {needed}, although {asked} was asked for.",
            "Install that runtime on the device, or use an older compiler.",
            measured=f"runtime {needed}",
            limit=f"runtime {asked}",
            evidence="compiler output: this run and its files; documented: google-coral/edgetpu #435",
        )


def _in_part(plain: Trial, chosen: Trial) -> Finding:
    attempt = chosen.attempt
    total = attempt.mapped + attempt.unmapped
    how = "a cut" if attempt.step == "cut" else "the compiler's own search"
    cut = chosen.outcome.result.intermediate_tensors
    return Finding(
        "compiled-in-part",
        "warning",
        f"The whole model does not compile ({plain.attempt.failure}); by {how} {attempt.mapped} of {total} "
        "operators run on the Edge TPU, all that follow on the CPU.",
        "Change the operator that breaks the compiler and compile again.",
        tensor=cut[0] if cut else None,
        measured=f"{attempt.mapped} of {total} operators",
        evidence=_MEASURED,
    )


def _culprit(plain: Trial, suspects: Sequence[str]) -> Iterator[Finding]:
    if not suspects:
        return
    one = len(suspects) == 1
    reason = "With this operator" if one else "With one of these operators"
    first = next((finding for finding in plain.outcome.findings if finding.severity == "error"), None)
    yield Finding(
        "breaks-the-compiler",
        "warning",
        f"{reason} the model does not compile any more; what comes before it does.",
        first.fix if first else "",
        op=suspects[0],
        measured=None if one else f"one of {len(suspects)}: {_list(suspects)}",
        evidence=f"{_MEASURED}, by bisection",
    )


def _at_random(plain: Trial, chosen: Trial) -> Finding:
    return Finding(
        "random-failure",
        "info",
        f"The compiler failed on the same input before ({plain.attempt.failure}) and then compiled it.",
        measured=f"compiled after {chosen.attempt.seconds:.0f} s",
        evidence=f"{_MEASURED}; reported: of versions up to 15 (google-coral/edgetpu #206, #211)",
    )


def _later_runtime(request: Request) -> Finding:
    asked = request.options.min_runtime
    return Finding(
        "min-runtime-raised",
        "info" if asked is None else "warning",
        "The model maps only when compiled for Edge TPU runtime 13 and later, since it is signed int8.",
        "Install runtime 13 or later on the device, or convert with --io uint8.",
        measured="runtime 13",
        limit=None if asked is None else f"runtime {asked}",
        evidence=f"{_MEASURED}; compiler log: google-coral/edgetpu #222, #358",
    )


def _several_partitions(chosen: Trial, *, asked: bool) -> Finding:
    return Finding(
        "several-partitions",
        "info" if asked else "warning",
        "The model is in several parts on the Edge TPU with the CPU in between, which was reported to be up to "
        "ten times slower than one part.",
        "Measure it on the device before you use it; repair the first operator that stays on the CPU.",
        measured=f"{chosen.attempt.partitions} partitions",
        evidence="reported: google-coral/edgetpu #342",
    )


def _segments_belong_together(segments: int) -> Finding:
    return Finding(
        "segments-share-a-token",
        "warning",
        "The segments of one split share a caching token and on-chip addresses.",
        f"Run them on {segments} Edge TPUs, one segment each; never take turns with them on one Edge TPU.",
        measured=f"{segments} segments",
        evidence="measured on pairs: the two segments of an SSD that Coral published",
    )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
