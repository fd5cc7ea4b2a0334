"""Writes PyTorch and ONNX sources into a folder; runs in a process of its own, as torch warns of much.

Usage: python -m tests.importers.torch.make_sources FOLDER small|cells
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import torch

from tests.importers.torch.ported import detector
from tests.importers.torch.small import Plain, Small


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def blood_cells(folder: Path) -> None:
    module, image = detector().eval(), torch.zeros(1, 3, 300, 300)
    torch.save(module.state_dict(), folder / "cells.pth")
    names = ["boxes", "classes"]
    program = torch.export.export(module, (image,))
    torch.export.save(program, folder / "cells.pt2")
    torch.onnx.export(program, (image,), str(folder / "cells_dynamo.onnx"), dynamo=True, output_names=names)
    torch.onnx.export(
        module, (image,), str(folder / "cells_script.onnx"), dynamo=False, opset_version=11, output_names=names
    )


def small(folder: Path) -> None:
    torch.manual_seed(0)
    module, image = Small().eval(), torch.zeros(1, 3, 32, 40)
    weights = {f"module.{name}": value for name, value in module.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights}, folder / "checkpoint.pth")
    torch.save(module, folder / "whole.pth")
    torch.jit.trace(Plain().eval(), image).save(str(folder / "script.pt"))
    torch.export.save(torch.export.export(module, (image,)), folder / "small.pt2")
    with_bomb(folder / "small.pt2", folder / "bomb.pt2", folder / "exploded")


def with_bomb(source: Path, target: Path, mark: Path) -> None:
    """A program whose example inputs run code when they are unpickled freely."""
    torch.save((Bomb(mark), {}), target.with_suffix(".inputs"))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            is_inputs = "sample_inputs" in member.filename
            content = target.with_suffix(".inputs").read_bytes() if is_inputs else old.read(member)
            new.writestr(member.filename, content)


PARTS = {"small": small, "cells": blood_cells}

if __name__ == "__main__":
    PARTS[sys.argv[2]](Path(sys.argv[1]))
