"""ONNX models in the common form: one pass over the nodes, from channels-first values to channels-last tensors.

`translation` walks the nodes, `operators` lists the translation of each, `layout` says how a value is stored.
All of it runs in the child process of `child`; the parent's side is `importers/through_onnx.py`.
"""
