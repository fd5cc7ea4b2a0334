"""Topologies to read compiled files with when no model of the same architecture is given; one family a file."""
