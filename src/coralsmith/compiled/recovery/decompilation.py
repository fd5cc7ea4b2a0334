"""Finds the one topology with which compiled files can be read, and proves the model that comes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coralsmith.compiled.recovery.proof import prove
from coralsmith.compiled.recovery.recovery import Recovery, TopologyError, recover
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.compiled.recovery.skeleton import Skeleton, skeletons_of
from coralsmith.compiled.recovery.spatial import SpatialEvidence, spatial_evidence
from coralsmith.compiled.recovery.topologies.known import known_topologies
from coralsmith.compiled.verification.report import VerifyReport
from coralsmith.errors import NotProvedError
from coralsmith.graph.model import Graph

_LIKE_HINT = (
    "Give a model of the same architecture with --like: for example one exported by the same training code with "
    "random weights, float or int8."
)


@dataclass(frozen=True, eq=False)
class Proved:
    """A recovered model that was proved.

    Attributes:
        recovery: The model and how it was read.
        report: The proof of its numbers.
        spatial: What speaks for its strides, paddings and windows.
        tried: How many topologies were held against the files.
    """

    recovery: Recovery
    report: VerifyReport
    spatial: SpatialEvidence
    tried: int


def decompile_segments(segments: Sequence[Segment], like: Graph | None = None, name: str = "") -> Proved:
    """Recover the model that was compiled.

    Args:
        segments: The compiled files, in the order in which they run.
        like: A model of the same architecture; None to try known topologies.
        name: What to call it.

    Raises:
        NotProvedError: No topology fits, or several do, or what comes out cannot be proved.
        UnsupportedModelError: The model given holds operators that cannot be recovered.
    """
    inputs, outputs = segments[0].inputs, segments[-1].outputs
    if like is not None:
        return _only_fit(skeletons_of(like, name, inputs, outputs), segments)
    try:
        proved = _only_fit(known_topologies(inputs, outputs), segments)
    except TopologyError as error:
        raise NotProvedError(error.message, hint=_LIKE_HINT) from error
    if proved.spatial.verdict == "contradicted":
        raise NotProvedError(
            f"The parameters are those of {proved.recovery.skeleton.name}, but its maps would take "
            f"{proved.spatial.predicted:,} bytes of a tile, and the file records {proved.spatial.recorded:,}: it "
            "has other strides or paddings.",
            hint=_LIKE_HINT,
        )
    return proved


def _only_fit(skeletons: Iterable[Skeleton], segments: Sequence[Segment]) -> Proved:
    fits: list[Recovery] = []
    refusals: list[NotProvedError] = []
    for skeleton in skeletons:
        try:
            fits.append(recover(skeleton, segments))
        except NotProvedError as error:
            refusals.append(error)
    if len(fits) > 1:
        names = " and ".join(recovery.skeleton.name for recovery in fits)
        raise TopologyError(f"Several topologies fit the compiled model: {names}.")
    if not fits:
        raise _refusal(refusals)
    (recovery,) = fits
    report = prove(recovery, segments)
    spatial = spatial_evidence(recovery.rebuilt.chip, segments)
    return Proved(recovery, report, spatial, len(fits) + len(refusals))


def _refusal(refusals: Sequence[NotProvedError]) -> NotProvedError:
    """Why none of several topologies fits: what stopped the one that came farthest."""
    if not refusals:
        return TopologyError("No known topology has the inputs and outputs of this compiled model.")
    farthest = next((error for error in refusals if not isinstance(error, TopologyError)), refusals[0])
    if isinstance(farthest, TopologyError) and len(refusals) > 1:
        why = farthest.message[0].lower() + farthest.message[1:]
        return TopologyError(f"None of {len(refusals)} known topologies fits: {why}")
    return farthest
