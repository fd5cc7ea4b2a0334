"""Damaged models against the reader, the writer and the interpreter; see fuzz_tflite.py."""
