"""Detects objects in pictures: python3 detect.py photo.jpg more.jpg (needs Pillow to read them)."""

import sys
from pathlib import Path

import numpy as np
from coral_detector import CoralDetector
from PIL import Image

HERE = Path(__file__).resolve().parent
detector = CoralDetector(HERE / "MODEL_FILE", HERE / "head.json")
for path in sys.argv[1:]:
    print(path)
    for found in detector.detect(np.asarray(Image.open(path).convert("RGB")), min_score=0.4):
        ymin, xmin, ymax, xmax = found.box
        print(f"  {found.label:20} {found.score:.2f}  x {xmin:.3f}-{xmax:.3f}  y {ymin:.3f}-{ymax:.3f}")
