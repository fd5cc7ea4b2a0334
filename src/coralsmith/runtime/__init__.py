"""Running a model: images in, detections out."""
