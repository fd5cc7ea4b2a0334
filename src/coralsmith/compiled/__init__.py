"""What the Edge TPU compiler wrote: read, inspected, held against its source, and turned back into a model."""
