"""TensorFlow.js graph models of every generation, as what TensorFlow reads: a graph and its weights.

`model_files` finds and reads the files, `manifest` says what the weight files hold, `weights` decodes them, and
`topology` brings the JSON of the graph into protobuf's own form; none of them needs TensorFlow. `graph_def` and
`fused_operators` run in the child process, where `importers/tensorflow_tfjs.py` makes the source of it.
"""
