"""PyTorch models by way of ONNX: exported by torch itself, read by coralsmith's importer, compared with torch.

All of it but `program_inspection` runs in the child process of `child`; the parent's side is
`importers/through_torch.py`.
"""
