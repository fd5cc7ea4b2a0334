"""coralsmith's importers beside other routes to a float `.tflite`."""
