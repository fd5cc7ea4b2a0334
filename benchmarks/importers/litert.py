"""One conversion by litert-torch with channels last, as it advises; prints what came out as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import litert_torch
import numpy as np
import torch
from tests.importers.torch.ported import detector

from coralsmith.graph.executor import Executor
from coralsmith.graph.reader import read_tflite

if __name__ == "__main__":
    path = Path(sys.argv[1]) / "litert_torch.tflite"
    module = detector().eval()
    channels_last = litert_torch.to_channel_last_io(module, args=[0])
    litert_torch.convert(channels_last, (torch.zeros(1, 300, 300, 3),)).export(str(path))
    graph = read_tflite(path)
    pictures = np.random.default_rng(0).uniform(-1, 1, (4, 1, 300, 300, 3)).astype(np.float32)
    executor, worst = Executor(graph), 0.0
    for picture in pictures:
        with torch.no_grad():
            own = module(torch.from_numpy(picture.transpose(0, 3, 1, 2).copy()))
        for tensor, found in zip(graph.outputs, executor.run(picture), strict=True):
            wanted = next(value for value in own.values() if tuple(value.shape) == tensor.shape)
            worst = max(worst, float(np.abs(found - wanted.numpy()).max()))
    transposes = sum(op.kind == "TRANSPOSE" for op in graph.ops)
    print(json.dumps({"operators": len(graph.ops), "worst_difference": worst, "transposes": transposes}))
