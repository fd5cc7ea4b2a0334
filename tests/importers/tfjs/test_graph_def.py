"""Models written in every generation, against TensorFlow running the graph that they were written from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError
from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.tfjs.fused_operators import CONTRACTIONS
from coralsmith.importers.tfjs.model_files import ModelFiles
from tests.importers.tfjs.writer import as_stored, fuse, write_model

pytestmark = pytest.mark.slow
SIZE = 16


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="needs coralsmith[tensorflow]")


def small_net(tf: Any, *, prelu: bool) -> Any:
    """A net of all that gets fused; with TensorFlow.js's own Prelu, or with what it means."""
    generator = np.random.default_rng(11)

    def weights(*shape: int) -> Any:
        return tf.constant(generator.normal(0, 0.4, shape).astype(np.float32))

    def convolve(x: Any, kernel: Any, stride: int = 1) -> Any:
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "SAME"), weights(kernel.shape[-1]))

    def bend(x: Any, slopes: Any) -> Any:
        return x + slopes if prelu else tf.nn.relu(x) - slopes * tf.nn.relu(-x)

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), "image")
        x = tf.nn.relu6(convolve(x, weights(3, 3, 3, 8), 2))
        x = tf.nn.relu(
            tf.nn.bias_add(tf.nn.depthwise_conv2d(x, weights(3, 3, 8, 1), (1, 1, 1, 1), "SAME"), weights(8))
        )
        x = bend(convolve(x, weights(1, 1, 8, 6)), weights(1, 1, 6))
        x = tf.nn.depthwise_conv2d(x, weights(3, 3, 6, 1), (1, 2, 2, 1), "VALID")
        x = bend(x, weights(1, 1, 6))
        x = tf.nn.leaky_relu(convolve(x, weights(1, 1, 6, 6)), 0.125)
        x = tf.nn.elu(convolve(x, weights(3, 3, 6, 4)))
        tf.identity(convolve(x, weights(1, 1, 4, 2)), "map")
        rows = tf.matmul(tf.reshape(x, (-1, 36)), weights(5, 36), transpose_b=True)
        tf.identity(tf.nn.relu(tf.nn.bias_add(rows, weights(5))), "dense")
    graph_def = graph.as_graph_def()
    if prelu:
        for node in graph_def.node:
            if node.op == "AddV2":
                node.op = "Prelu"
                del node.attr["T"]
    return graph_def


def computed(tf: Any, graph_def: Any) -> list[np.ndarray]:
    picture = np.random.default_rng(1).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(["map:0", "dense:0"], {"image:0": picture})


def read(path: Path) -> Any:
    from coralsmith.importers.tfjs.graph_def import graph_with_weights

    return graph_with_weights(ModelFiles.read(path))


@pytest.mark.parametrize("storage", ["float32", "float16", "uint8", "uint16"])
@pytest.mark.parametrize("generation", ["0.x", "1.x", "3.x"])
def test_every_generation_and_storage_computes_what_its_graph_did(
    tf: Any, tmp_path: Path, generation: str, storage: str
) -> None:
    expected = computed(tf, as_stored(small_net(tf, prelu=False), storage))
    path = write_model(fuse(small_net(tf, prelu=True)), tmp_path, generation, storage=storage, shard_bytes=101)
    assert len(list(tmp_path.glob("group1-shard*"))) > 3
    for found, wanted in zip(computed(tf, read(path)), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-6 * np.ptp(wanted))


def test_fused_operators_come_apart_and_the_last_one_keeps_the_name(tf: Any, tmp_path: Path) -> None:
    fused = fuse(small_net(tf, prelu=True))
    kinds = Counter(node.op for node in fused.node)
    assert (kinds["_FusedConv2D"], kinds["FusedDepthwiseConv2dNative"], kinds["_FusedMatMul"]) == (5, 1, 1)
    assert (kinds["Prelu"], kinds["Relu"], kinds["BiasAdd"]) == (1, 0, 0)
    graph_def = read(write_model(fused, tmp_path, "3.x"))
    nodes = {node.name: node for node in graph_def.node}
    last = {
        node.name: node.attr["fused_ops"].list.s[-1].decode() for node in fused.node if "fused_ops" in node.attr
    }
    assert {name: nodes[name].op for name in last} == {
        name: "AddV2" if step == "Prelu" else step for name, step in last.items()
    }
    assert not {node.op for node in graph_def.node} & {"Prelu", *CONTRACTIONS}
    assert all("explicit_paddings" not in node.attr for node in graph_def.node if node.op == "Conv2D")


def test_new_nodes_take_no_name_that_is_taken(tf: Any, tmp_path: Path) -> None:
    fused = fuse(small_net(tf, prelu=True))
    name = next(node.name for node in fused.node if node.op == "_FusedConv2D")
    fused.node.add(name=f"{name}/Conv2D", op="NoOp")
    names = [node.name for node in read(write_model(fused, tmp_path, "3.x")).node]
    assert len(names) == len(set(names))


def test_wide_integers_are_stored_in_32_bits_and_come_back_as_declared(tf: Any, tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf.constant([3, -7], tf.int64, name="wide")
        tf.constant([0.5], tf.float64, name="double")
    constants = {node.name: node for node in read(write_model(graph.as_graph_def(), tmp_path, "1.x")).node}
    np.testing.assert_array_equal(
        tf.make_ndarray(constants["wide"].attr["value"].tensor), np.array([3, -7], np.int64)
    )
    assert tf.make_ndarray(constants["double"].attr["value"].tensor).dtype == np.float64


# What is wrong, done to the JSON of a model; each with the message that must say so.
Damage = Callable[[dict[str, Any]], Any]


def change(kind: str, **members: Any) -> Damage:
    """Other members for the first node of a kind."""
    return lambda document: node_of(document, kind).update(members)


def change_attribute(kind: str, attribute: str, value: Any) -> Damage:
    return lambda document: node_of(document, kind)["attr"].update({attribute: value})


def node_of(document: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(node for node in document["modelTopology"]["node"] if node["op"] == kind)


FUSED_NORM = {"list": {"s": ["RnVzZWRCYXRjaE5vcm0="]}}
DAMAGES: list[tuple[type[CoralsmithError], str, Damage]] = [
    (
        MalformedModelError,
        "does not name 'Const'",
        lambda d: d["weightsManifest"][0]["weights"][0].update(name="x"),
    ),
    (MalformedModelError, "type int32, its weight of float32", change_attribute("Const", "dtype", {"type": 3})),
    (MalformedModelError, "'Const' has no known type", change_attribute("Const", "dtype", {"i": 3})),
    (MalformedModelError, "is no TensorFlow graph", change("Const", attr=7)),
    (MalformedModelError, "is no TensorFlow graph", lambda d: d["modelTopology"].update(nodes=[])),
    (MalformedModelError, "nodes of the graph do not fit", change("Reshape", input=["image"])),
    (UnsupportedModelError, "reads 'gone', which is not there", change("Reshape", input=["gone"])),
    (UnsupportedModelError, "'Reshape' is a custom operator, MyOwn", change("Reshape", op="MyOwn")),
    (UnsupportedModelError, "reach outside it: ReadFile", change("Reshape", op="ReadFile")),
    (UnsupportedModelError, "fuses FusedBatchNorm", change_attribute("_FusedConv2D", "fused_ops", FUSED_NORM)),
    (MalformedModelError, "too few inputs for BiasAdd", change("_FusedConv2D", input=["image", "Const"])),
    (MalformedModelError, "too few inputs for Conv2D", change("_FusedConv2D", input=[])),
    (UnsupportedModelError, "0 placeholders", change("Placeholder", op="FakeParam")),
]


@pytest.mark.parametrize(("error", "message", "damage"), DAMAGES, ids=[message for _, message, _ in DAMAGES])
def test_a_graph_that_cannot_be_used_says_why_and_what_to_do(
    tf: Any, tmp_path: Path, error: type[CoralsmithError], message: str, damage: Damage
) -> None:
    from coralsmith.importers.tensorflow_tfjs import read_tfjs_graph

    path = write_model(fuse(small_net(tf, prelu=True)), tmp_path, "3.x")
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(error, match=message) as caught:
        read_tfjs_graph(Request("tfjs-graph", str(path)))
    assert caught.value.hint


def test_control_flow_inside_the_network_is_named(tf: Any, tmp_path: Path) -> None:
    from coralsmith.importers.tensorflow_tfjs import read_tfjs_graph

    graph_def = small_net(tf, prelu=False)
    elu = next(node for node in graph_def.node if node.op == "Elu")
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        entered = tf.raw_ops.Enter(data=graph.get_tensor_by_name(f"{elu.name}:0"), frame_name="loop")
        tf.raw_ops.Exit(data=tf.nn.relu(entered), name="left")
    path = write_model(graph.as_graph_def(), tmp_path, "0.x")
    with pytest.raises(UnsupportedModelError, match="the node 'Enter' is Enter") as caught:
        read_tfjs_graph(Request("tfjs-graph", str(path)))
    assert "without loops" in caught.value.hint
