"""What the Edge TPU and its compiler accept: rules with evidence, partitions, memory, compiled files."""
