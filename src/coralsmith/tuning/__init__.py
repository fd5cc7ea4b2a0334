"""Needs torch: an int8 graph as a trainable function that learns to reproduce its float model."""
