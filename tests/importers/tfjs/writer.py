"""Writes TensorFlow.js models of all generations, as tensorflowjs_converter did; knows nothing of the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Manifest = list[dict[str, Any]]
# The converter stores 64-bit values in 32 bits.
NARROWED = {"int64": np.int32, "float64": np.float32}


def quantize(values: np.ndarray, storage: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Codes, and the manifest's entry for them; zero is always a code, as in TensorFlow Lite."""
    if storage == "float16":
        return values.astype("<f2"), {"dtype": "float16"}
    steps = np.iinfo(storage).max
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / steps or 1.0
    low = round(low / scale) * scale
    codes = np.round((values - low) / scale).clip(0, steps)
    return codes.astype(np.dtype(storage).newbyteorder("<")), {"dtype": storage, "min": low, "scale": scale}


def write_weights(
    weights: dict[str, np.ndarray], folder: Path, *, storage: str = "float32", shard_bytes: int = 1000
) -> Manifest:
    """One group of weights, cut into shards wherever they are full."""
    entries, stream = [], b""
    for name, values in weights.items():
        values = np.asarray(values)
        values = values.astype(NARROWED.get(values.dtype.name, values.dtype))
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": values.dtype.name}
        if storage != "float32" and values.dtype == np.float32:
            values, entry["quantization"] = quantize(values, storage)
        stream += values.tobytes()
        entries.append(entry)
    count = -(-len(stream) // shard_bytes)
    paths = [f"group1-shard{number + 1}of{count}.bin" for number in range(count)]
    for number, path in enumerate(paths):
        (folder / path).write_bytes(stream[number * shard_bytes : (number + 1) * shard_bytes])
    return [{"paths": paths, "weights": entries}]


def write_model(graph_def: Any, folder: Path, generation: str, **settings: Any) -> Path:
    """A GraphDef as a model of the generation "0.x", "1.x" or "3.x"; returns the file of the graph."""
    from google.protobuf.json_format import MessageToDict

    folder.mkdir(parents=True, exist_ok=True)
    emptied, weights = without_values(graph_def)
    manifest = write_weights(weights, folder, **settings)
    if generation == "0.x":
        (folder / "weights_manifest.json").write_text(json.dumps(manifest))
        path = folder / "tensorflowjs_model.pb"
        path.write_bytes(emptied.SerializeToString())
        return path
    document: dict[str, Any] = {"modelTopology": as_javascript(emptied), "weightsManifest": manifest}
    if generation == "3.x":
        header = {
            "format": "graph-model",
            "generatedBy": "2.4.0",
            "convertedBy": "TensorFlow.js Converter v3.18.0",
        }
        document = {**header, "modelTopology": MessageToDict(emptied), "weightsManifest": manifest}
    path = folder / "model.json"
    path.write_text(json.dumps(document))
    return path


def without_values(graph_def: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A copy whose constants are empty, and their values by name."""
    import tensorflow as tf

    emptied = type(graph_def)()
    emptied.CopyFrom(graph_def)
    weights = {}
    for node in emptied.node:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            weights[node.name] = tf.make_ndarray(tensor)
            for field, _ in tensor.ListFields():
                if field.name not in ("dtype", "tensor_shape"):
                    tensor.ClearField(field.name)
    return emptied, weights


def as_javascript(message: Any) -> dict[str, Any]:
    """A message as the converter of 1.0 wrote it: bytes as character codes, numbers for names, empty lists."""
    document = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            document[field.camelcase_name] = {key: as_javascript(item) for key, item in value.items()}
        elif field.is_repeated:
            document[field.camelcase_name] = [_javascript_value(field, item) for item in value]
        elif message.HasField(field.name) if field.has_presence else value:
            document[field.camelcase_name] = _javascript_value(field, value)
    return document


def _javascript_value(field: Any, value: Any) -> Any:
    if field.type == field.TYPE_MESSAGE:
        return as_javascript(value)
    if field.type == field.TYPE_BYTES:
        return list(value)
    return str(value) if field.type == field.TYPE_INT64 else value


def fuse(graph_def: Any) -> Any:
    """A copy in which every convolution or product is one with its bias and the activation behind that.

    The fused operator keeps the first name, and the readers of the last one are told.
    """
    fused = type(graph_def)()
    fused.CopyFrom(graph_def)
    kinds = {
        "Conv2D": "_FusedConv2D",
        "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative",
        "MatMul": "_FusedMatMul",
    }
    wanted = ("BiasAdd",), ("Relu", "Relu6", "Elu", "LeakyRelu", "Prelu"), ()
    gone, renamed = set(), {}
    for node in fused.node:
        if node.op not in kinds:
            continue
        last, steps = node.name, []
        while (reader := _only_reader(fused, last)) is not None and reader.op in wanted[min(len(steps), 2)]:
            steps.append(reader.op.encode())
            node.input.extend(reader.input[1:])
            if reader.op == "LeakyRelu":
                node.attr["leakyrelu_alpha"].f = reader.attr["alpha"].f
            gone.add(reader.name)
            last = reader.name
        if not steps:
            continue
        node.op = kinds[node.op]
        node.attr["fused_ops"].list.s.extend(steps)
        node.attr["num_args"].i = len(node.input) - 2
        node.attr["epsilon"].f = 1e-4
        renamed[last] = node.name
    result = type(graph_def)(versions=graph_def.versions)
    for node in fused.node:
        if node.name in gone:
            continue
        node.input[:] = [renamed.get(tensor, tensor) for tensor in node.input]
        result.node.append(node)
    return result


def _only_reader(graph_def: Any, name: str) -> Any:
    readers = [node for node in graph_def.node if name in node.input]
    return readers[0] if len(readers) == 1 and readers[0].input[0] == name else None


def as_stored(graph_def: Any, storage: str) -> Any:
    """A copy with its weights as exact as the storage leaves them: what the written model must compute."""
    import tensorflow as tf

    copied = type(graph_def)()
    copied.CopyFrom(graph_def)
    for node in copied.node:
        if storage != "float32" and node.op == "Const" and node.attr["dtype"].type == 1:
            codes, entry = quantize(tf.make_ndarray(node.attr["value"].tensor), storage)
            values = codes * np.float64(entry.get("scale", 1.0)) + entry.get("min", 0.0)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))
    return copied
