"""A stand-in for pycoral on the CPU: the functions that the bundled program calls, with its contracts."""
