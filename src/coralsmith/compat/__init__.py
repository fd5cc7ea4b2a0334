"""Runs the Edge TPU rules over a graph: each operator's fate, parameter memory, and findings with their fixes."""

from coralsmith.compat.check import check_graph
from coralsmith.compat.report import CheckReport

__all__ = ["CheckReport", "check_graph"]
