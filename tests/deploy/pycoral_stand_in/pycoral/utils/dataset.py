from __future__ import annotations

import re
from pathlib import Path


def read_label_file(path: str) -> dict[int, str]:
    pairs = [re.split(r"[:\s]+", line.strip(), maxsplit=1) for line in Path(path).read_text("utf-8").splitlines()]
    return {int(number): label for number, label in pairs}
