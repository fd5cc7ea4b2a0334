"""What the metadata says, read back by the field numbers of the published schema, without the writer's tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coralsmith.deploy.metadata import decoded_metadata, mean_and_std, raw_metadata
from coralsmith.detection.head import BoxCoder, InputSpec
from coralsmith.graph.flatbuffer import Table
from coralsmith.importers.tflite_metadata import read_metadata
from tests.deploy.pixel_detector import (
    LABELS,
    ROWS,
    SIDE,
    decoding_graph,
    deployable,
    pixel_graph,
    pixel_head,
)


def subgraph(metadata: bytes) -> Table:
    root = Table.root(memoryview(metadata), b"M001")
    (only,) = root.tables(3)
    return only


def floats(table: Table, field: int) -> list[float]:
    return np.array(table.integers(field, "<I"), np.uint32).view(np.float32).tolist()


def unit(tensor: Table, kind: int) -> Table:
    (found,) = [each.table(1) for each in tensor.tables(4) if each.integer(0, "<B") == kind]
    assert found is not None
    return found


def test_a_model_that_decodes_itself_has_the_outputs_that_the_task_library_looks_for() -> None:
    outputs = subgraph(decoded_metadata(pixel_head(), decoding_graph(), "pixels")).tables(3)
    assert [output.text(0) for output in outputs] == ["location", "category", "score", "number of detections"]


def test_boxes_are_top_left_bottom_right_as_ratios() -> None:
    location = subgraph(decoded_metadata(pixel_head(), decoding_graph(), "pixels")).tables(3)[0]
    content = location.table(3)
    assert content is not None and content.integer(0, "<B") == 3, "BoundingBoxProperties"
    box = content.table(1)
    assert box is not None
    assert box.integers(0, "<I") == (1, 0, 3, 2)
    assert box.integer(1, "<B") == 1, "BOUNDARIES"
    assert box.integer(2, "<B") == 0, "RATIO"


def test_labels_are_the_values_of_the_categories() -> None:
    category = subgraph(decoded_metadata(pixel_head(), decoding_graph(), "pixels")).tables(3)[1]
    (file,) = category.tables(6)
    assert file.text(0) == "labels.txt"
    assert file.integer(2, "<B") == 3, "TENSOR_VALUE_LABELS"


def test_the_score_threshold_is_that_of_the_operator() -> None:
    score = subgraph(decoded_metadata(pixel_head(), decoding_graph(), "pixels")).tables(3)[2]
    assert unit(score, 3).floating(0) == np.float32(0.3)


def test_the_input_is_an_rgb_image_from_0_to_255_with_its_normalisation() -> None:
    (image,) = subgraph(decoded_metadata(pixel_head(), decoding_graph(), "pixels")).tables(2)
    content = image.table(3)
    assert content is not None and content.integer(0, "<B") == 2, "ImageProperties"
    properties = content.table(1)
    assert properties is not None and properties.integer(0, "<B") == 1, "RGB"
    assert (floats(unit(image, 1), 0), floats(unit(image, 1), 1)) == ([127.5], [127.5])
    stats = image.table(5)
    assert stats is not None
    assert (floats(stats, 0), floats(stats, 1)) == ([255.0], [0.0])


@pytest.mark.parametrize(
    ("spec", "mean", "std"),
    [
        (InputSpec((SIDE, SIDE), 1 / 127.5, -1.0), (127.5,), (127.5,)),
        (InputSpec((SIDE, SIDE), 1 / 255, 0.0), (0.0,), (255.0,)),
        (InputSpec((SIDE, SIDE), mean=(127.0,) * 3, std=(128.0,) * 3), (127.0,), (128.0,)),
        (
            InputSpec((SIDE, SIDE), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
            (123.675, 116.28, 103.53),
            (58.395, 57.12, 57.375),
        ),
    ],
)
def test_the_normalisation_is_mean_and_std_of_pixels(
    spec: InputSpec, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    found = mean_and_std(spec)
    np.testing.assert_allclose(found[0], mean, atol=1e-4)
    np.testing.assert_allclose(found[1], std, rtol=1e-5)
    assert len(found[0]) == len(found[1]) == len(mean)


def test_raw_heads_carry_anchors_and_box_coder_as_mediapipe_writes_them() -> None:
    head = pixel_head("sigmoid")
    described = subgraph(raw_metadata(head, pixel_graph(), "pixels"))
    assert [output.text(0) for output in described.tables(3)] == ["location", "score"]
    (custom,) = described.tables(9)
    assert custom.text(0) == "DETECTOR_METADATA"
    options = Table.root(custom.content(1), b"V001")
    ssd, decoding = options.table(1), options.table(2)
    assert ssd is not None and decoding is not None
    fixed = ssd.table(0)
    assert fixed is not None
    anchors = [[anchor.floating(field) for field in (1, 0, 3, 2)] for anchor in fixed.tables(0)]
    np.testing.assert_array_equal(np.array(anchors, np.float32), head.anchors)
    assert [decoding.integer(field, "<i") for field in (0, 1, 2)] == [4, ROWS, 4]
    assert [decoding.floating(field) for field in (6, 7, 8, 9)] == [10.0, 10.0, 5.0, 5.0]
    assert (decoding.integer(10, "<B"), decoding.integer(11, "<B")) == (1, 1)


def test_scales_of_a_box_coder_go_to_their_axes() -> None:
    head = replace(pixel_head(), box_coder=BoxCoder("yxhw", (1.0, 2.0, 3.0, 4.0)))
    (custom,) = subgraph(raw_metadata(head, pixel_graph(), "pixels")).tables(9)
    decoding = Table.root(custom.content(1), b"V001").table(2)
    assert decoding is not None
    x, y, w, h = (decoding.floating(field) for field in (6, 7, 8, 9))
    assert (y, x, h, w) == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    "head", [pixel_head("softmax"), replace(pixel_head(), box_coder=BoxCoder("xywh"))], ids=["softmax", "xywh"]
)
def test_what_mediapipe_has_no_words_for_is_left_out(head: object) -> None:
    assert not subgraph(raw_metadata(head, pixel_graph(), "pixels")).tables(9)  # type: ignore[arg-type]


def test_the_oldest_parser_that_knows_all_fields_is_named() -> None:
    versions = [
        Table.root(memoryview(metadata), b"M001").text(7)
        for metadata in (
            decoded_metadata(pixel_head(), decoding_graph(), "pixels"),
            raw_metadata(pixel_head(), pixel_graph(), "pixels"),
        )
    ]
    assert versions == ["1.0.0", "1.5.0"]


def test_the_importer_of_mediapipe_models_reads_it() -> None:
    head = pixel_head("sigmoid")
    raw = read_metadata(deployable(pixel_graph(), head).bundled())
    assert raw is not None and raw.decoding is not None
    assert raw.labels == ("background", *LABELS), "one label a column"
    np.testing.assert_array_equal(raw.decoding.anchors, head.anchors)
    assert (raw.decoding.scales, raw.decoding.sigmoid, raw.decoding.classes) == ((10.0, 10.0, 5.0, 5.0), True, 4)
    decoded = read_metadata(deployable(decoding_graph()).bundled())
    assert decoded is not None
    assert (decoded.labels, decoded.mean, decoded.std) == (LABELS, (127.5,), (127.5,))
    assert decoded.score_threshold == np.float32(0.3)
