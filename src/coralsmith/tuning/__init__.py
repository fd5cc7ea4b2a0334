"""Needs torch: an int8 graph as a trainable function that learns from its float model, and from labels."""
