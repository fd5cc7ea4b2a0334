"""Read photos as people have them: any size, colour model, depth and orientation, some of them broken."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from coralsmith.detection.preprocess import LARGEST_PLAIN_REDUCTION, resize_image
from coralsmith.errors import ImageDataError
from coralsmith.findings import Finding

if TYPE_CHECKING:
    from coralsmith.detection.head import Resize

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""The formats that are opened. Others stay closed: Pillow hands some, EPS for one, to outside programs."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 80_000_000
"""Largest picture that is decoded, 240 MB of RGB; a small file may claim to be far larger."""

ALPHA_BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as in most image viewers."""

FEW_IMAGES = 20
_AHEAD = 32  # pictures decoded before they are asked for, 9 MB at 300 x 300
_DRAFT_MARGIN = LARGEST_PLAIN_REDUCTION + 1
"""A JPEG is decoded at 1/2, 1/4 or 1/8 where that is still so many times as large as the model's input.
On photos of 12 megapixels this is three times faster; the resized pixels differ by 1 of 255 on average (measured),
which calibration does not notice. `load_rgb` always decodes in full."""


def find_images(sources: Path | Iterable[Path]) -> list[Path]:
    """List the pictures of a folder and all folders in it, or of several files and folders.

    Pictures are known by their suffix; a file that is named itself is taken as it is. Hidden files, hidden
    folders and the `__MACOSX` folders of zip files are left out. Nothing is opened.

    Args:
        sources: A folder, a file, or several.

    Returns:
        The paths, in the same order on every machine.

    Raises:
        ImageDataError: A source is missing or cannot be read, or there is no picture.
    """
    roots = [sources] if isinstance(sources, Path) else list(sources)
    found: list[Path] = []
    others: Counter[str] = Counter()
    for root in (root.expanduser() for root in roots):
        if root.is_dir():
            files = sorted(_walk(root), key=lambda file: file.relative_to(root).parts)
            found += [file for file in files if file.suffix.lower() in SUFFIXES]
            others.update(file.suffix.lower() or "no suffix" for file in files)
        elif root.exists():
            found.append(root)
        else:
            raise ImageDataError(f"'{root}' does not exist.", hint="Name a folder with pictures.")
    if not found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(3)) or "no files"
        raise ImageDataError(
            f"No pictures in {', '.join(map(str, roots)) or 'an empty list'} (found: {kinds}).",
            hint="JPEG, PNG, BMP, GIF, TIFF, WebP and PPM are read; convert others, HEIC for one, to JPEG.",
        )
    return found


def _walk(root: Path) -> Iterator[Path]:
    """All files that are not hidden; links to folders are followed, each folder is visited once."""

    def stop(error: OSError) -> None:
        raise ImageDataError(f"The folder '{error.filename}' cannot be read: {error.strerror}.") from error

    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=stop, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def load_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a picture as a person sees it.

    The EXIF rotation is applied; grey, palette and CMYK pictures become RGB; 16 bits are scaled to 8 (65535 is
    white); transparent pixels show `ALPHA_BACKGROUND`; of an animation the first frame counts.

    Returns:
        uint8 RGB, [height, width, 3].

    Raises:
        ImageDataError: The file is missing, too large, broken or not a picture.
    """
    return np.array(_decode(path))


def as_rgb(image: Image.Image | NDArray[Any]) -> NDArray[np.uint8]:
    """A picture in memory as RGB pixels, as `load_rgb` gives those of a file.

    Args:
        image: A PIL picture, or uint8 pixels: [height, width] or [height, width, 1] grey, [height, width, 3],
            which is returned as it is, or [height, width, 4], whose fourth channel is left out.

    Raises:
        ImageDataError: It is not of these, empty, or has more than `MAX_PIXELS` pixels.
    """
    if isinstance(image, Image.Image):
        pixels: NDArray[Any] = np.asarray(_as_rgb(ImageOps.exif_transpose(image)))
    else:
        pixels = np.asarray(image)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
        raise ImageDataError(
            f"An image of type {pixels.dtype} and shape {list(pixels.shape)} cannot be looked at.",
            hint="Give uint8 pixels from 0 to 255, [height, width, 3]; a batch one image after the other.",
        )
    if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise ImageDataError(
            f"An image of {pixels.shape[1]} x {pixels.shape[0]} pixels is too large; at most "
            f"{MAX_PIXELS // 10**6} million are looked at."
        )
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]


def _decode(path: Path, at_least: int | None = None) -> Image.Image:
    """An RGB picture; where both its sides may shrink to `at_least` pixels, a JPEG is decoded at reduced size."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageDataError(f"'{path}' is not a file.")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageDataError(
                f"'{path}' has {status.st_size / 2**20:.0f} MiB; at most {MAX_FILE_BYTES // 2**20} MiB are read."
            )
        with Image.open(path, formats=list(FORMATS)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                size = f"{picture.width} x {picture.height}"
                raise ImageDataError(
                    f"'{path}' has {size} pixels; at most {MAX_PIXELS // 10**6} million are read."
                )
            if at_least is not None:
                picture.draft(None, (at_least, at_least))
            return _as_rgb(ImageOps.exif_transpose(picture))
    except ImageDataError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = str(error) or type(error).__name__
        raise ImageDataError(f"'{path}' cannot be read as a picture: {reason}.") from error


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(picture)
    if picture.has_transparency_data:
        background = Image.new("RGBA", picture.size, ALPHA_BACKGROUND)
        picture = Image.alpha_composite(background, picture.convert("RGBA"))
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, which Pillow itself would clip at 255 instead of scaling it."""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels are floats or 32-bit numbers, of which nobody knows what is white")
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


class _Decoding:
    """Pictures being decoded in one other thread, which Pillow lets run freely, a bounded number ahead."""

    def __init__(self, paths: list[Path], load: Callable[[Path], NDArray[np.uint8]]) -> None:
        self._load = load
        self._waiting = iter(paths)
        self._ahead: deque[tuple[Path, Future[NDArray[np.uint8]]]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="coralsmith-images")
        self._fill()

    def _fill(self) -> None:
        while len(self._ahead) < _AHEAD and (path := next(self._waiting, None)) is not None:
            self._ahead.append((path, self._pool.submit(self._load, path)))

    def __enter__(self) -> _Decoding:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[Path, Future[NDArray[np.uint8]]]]:
        while self._ahead:
            following = self._ahead.popleft()
            self._fill()
            yield following


class ImageFolder:
    """Pictures at the model's input size, decoded one after the other while the caller works on the last.

    Can be iterated again and again and gives the same pictures in the same order. Memory does not grow with
    their number. A file that cannot be read is left out and told by `findings`.

    Args:
        sources: A folder, a file, or several; see `find_images`.
        size: Height and width of the model's input.
        resize: ``stretch`` or ``letterbox``.
        limit: Take at most so many, spread evenly over the folder; None for all.
        seed: Which ones are taken where there are more than the limit.

    Raises:
        ImageDataError: There is no picture.
    """

    def __init__(
        self,
        sources: Path | Iterable[Path],
        size: tuple[int, int],
        resize: Resize = "stretch",
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.paths = sample(find_images(sources), limit, seed)
        self.size = size
        self.resize = resize
        self._unreadable: dict[Path, Finding] = {}
        self._grey_only = False
        self._started: _Decoding | None = None

    def __len__(self) -> int:
        return len(self.paths) - len(self._unreadable)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The pictures, uint8 RGB [height, width, 3]."""
        for _, pixels in self.with_paths():
            yield pixels

    def with_paths(self) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
        """The pictures with the files they come from.

        Raises:
            ImageDataError: Not one of the files can be read.
        """
        count, coloured = 0, False
        for path, pixels in self._decoded_ahead():
            count += 1
            coloured = coloured or bool((pixels != pixels[..., :1]).any())
            yield path, pixels
        if count == 0:
            first = next(iter(self._unreadable.values()))
            raise ImageDataError(f"None of the {len(self.paths)} pictures can be read. {first.reason}")
        self._grey_only = not coloured

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with the pictures; complete once they have been iterated."""
        found = list(self._unreadable.values())
        if len(self) < FEW_IMAGES:
            found.append(
                Finding(
                    "few-images",
                    "warning",
                    "So few pictures may miss values that the model meets in use, and these will be clipped.",
                    fix="Give 50 to 200 typical pictures; they need no labels.",
                    measured=f"{len(self)} pictures",
                    limit=f"at least {FEW_IMAGES} pictures",
                    evidence="inferred",
                )
            )
        if self._grey_only:
            found.append(
                Finding(
                    "grey-images",
                    "warning",
                    "All pictures are grey; a model that will see colour gets its ranges from the wrong values.",
                    fix="Give pictures from the camera that the model will see.",
                    measured="no coloured pixel",
                    evidence="inferred",
                )
            )
        return found

    def start(self) -> None:
        """Begin to decode in the background, so that the next iteration finds its first pictures ready."""
        self._started = self._decoding()

    def _decoding(self) -> _Decoding:
        return _Decoding([path for path in self.paths if path not in self._unreadable], self._load)

    def _decoded_ahead(self) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
        decoding, self._started = self._started or self._decoding(), None
        with decoding:
            for path, future in decoding:
                try:
                    pixels = future.result()
                except ImageDataError as error:
                    self._unreadable[path] = _unreadable(error)
                else:
                    yield path, pixels

    def _load(self, path: Path) -> NDArray[np.uint8]:
        return resize_image(_decode(path, at_least=_DRAFT_MARGIN * max(self.size)), self.size, self.resize)


def readable_sample(paths: list[Path], count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Up to `count` of the pictures, in full size: a sample of the paths, others in the place of unreadable ones.

    Which files cannot be read is told by `ImageFolder.findings`, which looks at all that are used.

    Raises:
        ImageDataError: There are pictures, but not one can be read.
    """
    chosen = sample(paths, count, seed)
    pictures: list[NDArray[np.uint8]] = []
    failure: ImageDataError | None = None
    for path in [*chosen, *(path for path in paths if path not in set(chosen))]:
        if len(pictures) == count:
            break
        try:
            pictures.append(load_rgb(path))
        except ImageDataError as error:
            failure = failure or error
    if failure is not None and not pictures:
        raise ImageDataError(f"None of the {len(paths)} pictures can be read. {failure.message}", failure.hint)
    return pictures


def sample(paths: list[Path], limit: int | None, seed: int) -> list[Path]:
    """At most `limit` of the paths, in their order: one at random out of each of `limit` equal stretches."""
    if limit is None or len(paths) <= limit:
        return paths
    edges = np.linspace(0, len(paths), limit + 1).astype(int)
    chosen = np.random.default_rng(seed).integers(edges[:-1], edges[1:])
    return [paths[i] for i in chosen]


def _unreadable(error: ImageDataError) -> Finding:
    return Finding(
        "unreadable-image", "warning", error.message, fix="Remove or replace the file.", evidence="measured"
    )
