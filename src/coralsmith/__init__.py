"""coralsmith: from a trained MobileNetV2-SSD to a verified full-integer model for the Google Coral Edge TPU."""

__version__ = "0.1.0"
