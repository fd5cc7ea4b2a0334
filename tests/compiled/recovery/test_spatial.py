"""Strides that no parameter shows are confirmed, or contradicted, by the memory that the maps take."""

from __future__ import annotations

import pytest

from coralsmith.compiled.recovery import decompilation
from coralsmith.compiled.recovery.recovery import recover
from coralsmith.compiled.recovery.skeleton import Skeleton
from coralsmith.compiled.recovery.spatial import spatial_evidence
from coralsmith.compiled.recovery.topologies.known import known_topologies
from coralsmith.compiled.recovery.topologies.outline import Outline
from coralsmith.decompile_files import decompile
from coralsmith.errors import NotProvedError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite
from tests.compiled.recovery.recovered import DENSE, V1, compiled_of, segments_of, source_of

CONVOLUTIONAL = [
    V1,
    "jorgi__N100-nMACs379699200_quant",
    "jorgi__N32-nMACs41287680_quant",
    "jorgi__firstTest_quant",
    "jorgi__model_size_channel82_quant",
]


@pytest.mark.parametrize("pair", CONVOLUTIONAL)
def test_the_memory_of_published_models_confirms_their_topology(shared, tmp_path, pair):
    result = decompile(compiled_of(shared, pair), output=tmp_path / "x.tflite", like=source_of(shared, pair))
    assert result.spatial.verdict == "confirmed"
    assert result.spatial.predicted == result.spatial.recorded > 0


def with_first_stride_moved(graph) -> None:
    """The first convolution keeps the size of the map, the next depthwise one halves it."""
    first, second = graph.ops[:2]
    for op, stride in ((first, 1), (second, 2)):
        op.attributes.update(stride_w=stride, stride_h=stride)
    _, height, width, channels = first.output.shape
    first.output.shape = (1, 2 * height, 2 * width, channels)


def test_another_place_of_a_stride_fits_the_parameters_but_not_the_memory(shared, tmp_path):
    like = read_tflite(source_of(shared, V1))
    with_first_stride_moved(like)
    write_tflite(like, tmp_path / "like.tflite")
    result = decompile(compiled_of(shared, V1), output=tmp_path / "x.tflite", like=tmp_path / "like.tflite")
    assert result.spatial.verdict == "contradicted"
    (warning,) = (finding for finding in result.findings if finding.severity == "warning")
    assert warning.rule == "assumed-topology"


def test_a_known_topology_that_the_memory_contradicts_is_refused(shared, tmp_path, monkeypatch):
    def moved(inputs, outputs):
        for skeleton in known_topologies(inputs, outputs):
            with_first_stride_moved(skeleton.graph)
            yield skeleton

    monkeypatch.setattr(decompilation, "known_topologies", moved)
    with pytest.raises(NotProvedError, match="other strides or paddings"):
        decompile(compiled_of(shared, V1), output=tmp_path / "x.tflite")
    assert not (tmp_path / "x.tflite").exists()


def test_a_model_without_maps_is_left_open(shared):
    segments = segments_of(shared, DENSE)
    outline = Outline((1, 256))
    graph = outline.graph(outline.fully_connected(outline.input, 256, "dense"))
    recovery = recover(Skeleton("dense", graph), segments)
    assert spatial_evidence(recovery.rebuilt.chip, segments).verdict == "open"
