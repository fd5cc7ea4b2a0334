"""The page about verification says what the rules say, and every rule is found in some file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.compiled.verification import verify_models
from coralsmith.compiled.verification.docs import verification_page
from coralsmith.compiled.verification.rules import verification_rules
from coralsmith.edgetpu.rules import EVIDENCE_KINDS
from coralsmith.graph.model import Op, Tensor
from tests.compiled.pairs import (
    BIRD,
    COLOURS,
    INSECT,
    SSD,
    changed,
    compiled,
    other_bias,
    other_output_scale,
    source,
    verified,
)

PAGE = Path(__file__).parents[3] / "docs" / "verify.md"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == verification_page(), (
        "run: python -m coralsmith.compiled.verification.docs docs/verify.md"
    )


def test_every_rule_stands_on_the_page_and_says_how_it_is_known():
    page = verification_page()
    for identifier, rule in verification_rules().items():
        assert page.count(f"### {identifier}\n") == 1
        assert rule.evidence_text.startswith(EVIDENCE_KINDS)


@pytest.mark.slow
def test_every_rule_is_found_in_some_pair(shared):
    deeplab = "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant"
    ssd = source(shared, SSD).copy()
    concatenation = next(op for op in ssd.ops if op.kind == "CONCATENATION")
    other_output_scale(concatenation, ssd)
    without_tail = source(shared, deeplab).copy()
    without_tail.ops.pop()
    with_custom = source(shared, BIRD).copy()
    with_custom.ops.append(Op("CUSTOM", with_custom.outputs, [Tensor("sorted", (1,), np.dtype(np.float32))]))
    reports = [
        verified(shared, BIRD, INSECT),
        verified(shared, COLOURS[0]),
        verify_models(with_custom, compiled(shared, BIRD), name=""),
        verified(shared, "libredge__gabor_64x64_p4"),
        verify_models(changed(source(shared, deeplab), 67, other_bias), compiled(shared, deeplab), name=""),
        verify_models(without_tail, compiled(shared, deeplab), name=""),
        verify_models(ssd, compiled(shared, SSD), name=""),
    ]
    found = {finding.rule for report in reports for finding in report.findings}
    assert found >= set(verification_rules())
