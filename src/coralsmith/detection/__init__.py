"""What makes a model a single-shot detector: its head, anchors, decoding, suppression and recognition."""
