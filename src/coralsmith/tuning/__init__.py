"""Needs torch: an int8 graph as a module that can be trained, to reproduce its float model or on labelled images."""
