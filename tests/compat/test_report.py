"""The report as JSON is the document that the interface promises."""

from __future__ import annotations

import json

from coralsmith.compat import check_graph
from tests.compat.models import chain


def test_the_document_has_the_keys_of_the_interface():
    document = json.loads(json.dumps(check_graph(chain("RELU"), model="m.tflite").document()))
    assert document["schema"] == "coralsmith/check/1" and document["model"] == "m.tflite"
    assert list(document) == [
        "schema",
        "model",
        "ops_total",
        "ops_edgetpu",
        "ops_cpu",
        "ops_unknown",
        "ops_stranded",
        "partitions",
        "all_partitions",
        "ops",
        "parameters",
        "activations",
        "latency_ms",
        "findings",
    ]
    assert list(document["ops"][0]) == ["index", "kind", "name", "target", "status", "rule", "other_statuses"]
    promised = ["on_chip_bytes", "streamed_bytes", "low", "high", "evidence"]
    assert list(document["parameters"])[:5] == promised
    assert document["parameters"]["layers"] == []
    assert list(document["latency_ms"]) == ["usb", "pcie", "evidence", "slowest"]
    assert list(document["latency_ms"]["usb"])[:3] == ["estimate", "low", "high"]
