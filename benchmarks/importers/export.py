"""Writes the detector as `cells.onnx` and `cells.pt2` into a folder: what the routes start from."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tests.importers.torch.ported import detector

if __name__ == "__main__":
    folder, image = Path(sys.argv[1]), torch.zeros(1, 3, 300, 300)
    program = torch.export.export(detector().eval(), (image,))
    torch.export.save(program, folder / "cells.pt2")
    names = ["boxes", "classes"]
    torch.onnx.export(program, (image,), str(folder / "cells.onnx"), dynamo=True, output_names=names)
