"""Detects objects in pictures with pycoral: python3 detect.py photo.jpg more.jpg."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pycoral.adapters import common, detect
from pycoral.utils.dataset import read_label_file
from pycoral.utils.edgetpu import make_interpreter

HERE = Path(__file__).resolve().parent
labels = read_label_file(str(HERE / "labels.txt"))
interpreter = make_interpreter(str(HERE / "MODEL_FILE"))
interpreter.allocate_tensors()
width, height = common.input_size(interpreter)
for path in sys.argv[1:]:
    image = Image.open(path).convert("RGB")
    common.set_input(interpreter, np.asarray(image.resize((width, height), Image.BILINEAR)))
    scale = (width / image.width, height / image.height)
    interpreter.invoke()
    count = int(common.output_tensor(interpreter, 3)[0])
    common.output_tensor(interpreter, 2)[0, count:] = 0  # left over from earlier images
    print(path)
    for found in detect.get_objects(interpreter, 0.4, scale):
        print(f"  {labels[found.id]:20} {found.score:.2f}  {found.bbox}")
