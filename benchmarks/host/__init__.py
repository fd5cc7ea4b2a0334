"""The host part of a detector: before and after the model."""
