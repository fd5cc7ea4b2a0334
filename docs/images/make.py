"""Make the pictures of the README from the demo: `python docs/images/make.py`; the screenshot needs chromium."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from coralsmith.demo import PICTURES, run_demo

HERE = Path(__file__).resolve().parent
SHOWN = ("reef_001.jpg", "reef_004.jpg")
WIDTH = 1200
CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1300,1500",
]


def main() -> None:
    """Run the demo and keep what the README shows of it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        out = Path("coralsmith-demo")
        run_demo(out)
        stack([out / PICTURES / name for name in SHOWN]).save(HERE / "demo.jpg", quality=85)
        shot = Path(folder) / "report.png"
        command = [
            *CHROMIUM,
            f"--user-data-dir={folder}/profile",
            f"--screenshot={shot}",
            f"file://{folder}/{out}/report.html",
        ]
        subprocess.run(command, check=True, capture_output=True)
        with Image.open(shot) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(
                HERE / "report.png", optimize=True
            )


def stack(paths: list[Path]) -> Image.Image:
    """The pictures under each other, all of one width."""
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            height = round(picture.height * WIDTH / picture.width)
            pictures.append(picture.resize((WIDTH, height), Image.Resampling.LANCZOS))
    sheet = Image.new("RGB", (WIDTH, sum(picture.height for picture in pictures)))
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet


if __name__ == "__main__":
    main()
