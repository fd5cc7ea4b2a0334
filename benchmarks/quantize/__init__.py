"""Quantization: coralsmith beside TensorFlow."""
