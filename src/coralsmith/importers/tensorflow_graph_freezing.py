"""Freezes a signature of a SavedModel to one plain graph, as TensorFlow 1 had them. Runs in the child process.

The loader of TensorFlow 1 restores the variables and leaves the Python objects out: 9 s for a detector of the TF
Object Detection API, where `tf.saved_model.load` takes 40 s. Loops come out as TensorFlow 1 wrote them.
"""

from __future__ import annotations

from typing import Any

from coralsmith.errors import MalformedModelError
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.frozen_graph_postprocess import implementing_functions


def freeze_signature(path: str, outputs: list[str], tags: list[str]) -> Any:
    """The GraphDef that computes some tensors of a SavedModel, variables as constants and functions written out.

    A function that stands for TFLite_Detection_PostProcess stays a call, since it is empty inside.

    Args:
        path: The SavedModel's folder.
        outputs: Names of the tensors.
        tags: Tags of the graph to load.

    Raises:
        MalformedModelError: The folder cannot be loaded.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_from_session_graph

    names = sorted({output.partition(":")[0] for output in outputs})
    try:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            tf.compat.v1.saved_model.load(session, tags, path)
            frozen = convert_variables_to_constants_from_session_graph(session, graph.as_graph_def(), names)
    except Exception as error:  # the loader raises many types, documented nowhere
        raise MalformedModelError(
            f"TensorFlow cannot load the SavedModel. {essential_line(error)}",
            hint="Copy or export the whole folder again, variables included.",
        ) from error
    for function in implementing_functions(frozen):
        function.attr["_noinline"].b = True
        function.attr["_nospecialize"].b = True  # nor have constants moved into it
    return _inlined(frozen, outputs)


def _inlined(graph_def: Any, outputs: list[str]) -> Any:
    """The graph with the bodies of its functions in place of their calls, by TensorFlow's own optimizer."""
    import tensorflow as tf
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.python.grappler import tf_optimizer

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        described = tf.compat.v1.train.export_meta_graph(graph=graph, graph_def=graph_def)
    described.collection_def["train_op"].node_list.value.extend(outputs)
    configuration = ConfigProto()
    rewriting = configuration.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1  # also of small graphs
    rewriting.optimizers.append("function")
    inlined = tf_optimizer.OptimizeGraph(configuration, described)
    return tf.compat.v1.graph_util.extract_sub_graph(inlined, sorted({o.partition(":")[0] for o in outputs}))
