"""The published anchor sets that fit a graph's feature maps, likeliest first."""

from __future__ import annotations

import numpy as np
import pytest
from tests.detection.spelled_detector import ANCHORS, FULL, REDUCED, SIDE, SIZES, SpelledDetector

from coralsmith.detection.anchors import CONFIG_RATIOS, ssd_anchors
from coralsmith.detection.candidates import candidates
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph


def conventions(graph: Graph) -> list[str]:
    return [candidate.convention for candidate in candidates(graph)]


def test_three_boxes_on_the_finest_map_are_the_reduced_lowest_layer() -> None:
    found = candidates(SpelledDetector(REDUCED, 3).graph())
    assert all("reduced lowest layer" in candidate.convention for candidate in found)
    assert np.array_equal(found[0].anchors, ANCHORS)


def test_six_boxes_everywhere_are_a_full_ssd_or_a_pyramid() -> None:
    found = conventions(SpelledDetector(FULL, 3).graph())
    assert any(text.startswith("ssd_anchor_generator") for text in found)
    assert any(text.startswith("multiscale_anchor_generator, level 3") for text in found)
    assert not any("reduced" in text for text in found)


def test_names_of_the_api_put_the_ratios_of_its_configs_first() -> None:
    graph = SpelledDetector(REDUCED, 3).graph()
    graph.ops[3].output.name = "BoxPredictor_0/BoxEncodingPredictor/BiasAdd"
    assert np.array_equal(candidates(graph)[0].anchors, ssd_anchors(SIZES, (SIDE, SIDE), ratios=CONFIG_RATIOS))


def test_a_number_of_boxes_that_no_generator_makes_is_told() -> None:
    with pytest.raises(DetectionHeadError, match=r"No known anchor generator.*8x8 with 5 boxes"):
        candidates(SpelledDetector(((8, 8, 5), (4, 4, 5)), 3).graph())
