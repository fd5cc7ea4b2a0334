"""The real Edge TPU compiler: where it is, one run of it, what it says, and what its words mean."""

from coralsmith.compiler.log import CompileResult, OperationCount, parse_log

__all__ = ["CompileResult", "OperationCount", "parse_log"]
