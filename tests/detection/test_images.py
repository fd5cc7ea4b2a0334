"""Photos as people have them: every colour model, depth and orientation, and folders with broken files."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coralsmith.detection import images
from coralsmith.detection.images import ImageFolder, find_images, load_rgb, readable_sample, sample
from coralsmith.detection.preprocess import resize_image
from coralsmith.errors import ImageDataError

RED, BLUE = (200, 30, 20), (10, 40, 220)


def two_colours(height: int = 8, width: int = 12) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def save(folder: Path, name: str, image: Image.Image | None = None, **options: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or two_colours()).save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


class TestFindImages:
    def test_all_folders_are_searched_in_one_fixed_order(self, tmp_path: Path) -> None:
        names = ["b.png", "a/z.JPG", "a/b/c.webp", "a-b/c.tiff", "B.bmp"]
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
        assert found == ["B.bmp", "a/b/c.webp", "a/z.JPG", "a-b/c.tiff", "b.png"]

    def test_hidden_files_zip_leftovers_and_other_files_are_left_out(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "._a.jpg", ".thumbs/b.jpg", "__MACOSX/c.jpg", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert find_images(tmp_path) == [tmp_path / "a.jpg"]

    def test_files_and_folders_can_be_named_together_and_a_named_file_needs_no_suffix(
        self, tmp_path: Path
    ) -> None:
        folder = save(tmp_path, "folder/a.png").parent
        odd = save(tmp_path, "odd", format="PNG")
        assert find_images([odd, folder]) == [odd, folder / "a.png"]

    def test_links_to_folders_are_followed_once(self, tmp_path: Path) -> None:
        save(tmp_path, "elsewhere/a.png")
        save(tmp_path, "data/b.png")
        (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "data/loop").symlink_to(tmp_path / "data")
        assert [path.name for path in find_images(tmp_path / "data")] == ["b.png", "a.png"]

    def test_an_empty_folder_is_an_error_that_names_what_was_found(self, tmp_path: Path) -> None:
        (tmp_path / "a.heic").touch()
        with pytest.raises(ImageDataError, match=r"1 \.heic") as caught:
            find_images(tmp_path)
        assert "HEIC" in caught.value.hint

    def test_a_missing_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ImageDataError, match="does not exist"):
            find_images(tmp_path / "nowhere")

    def test_nothing_named_is_an_error(self) -> None:
        with pytest.raises(ImageDataError, match="No pictures"):
            find_images([])

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
    def test_a_folder_without_permission_is_an_error(self, tmp_path: Path) -> None:
        closed = save(tmp_path, "closed/a.png").parent
        closed.chmod(0)
        with pytest.raises(ImageDataError, match="cannot be read"):
            find_images(tmp_path)
        closed.chmod(0o700)


class TestLoadRgb:
    def test_rgb_comes_as_it_is(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
        loaded = load_rgb(save(tmp_path, "a.png", Image.fromarray(pixels)))
        assert loaded.dtype == np.uint8
        assert np.array_equal(loaded, pixels)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(self, tmp_path: Path, orientation: int) -> None:
        upright = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
        # How a camera stores the upright picture, by the EXIF standard's table.
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.transpose(1, 0, 2),
            6: np.rot90(upright),
            7: upright[::-1, ::-1].transpose(1, 0, 2),
            8: np.rot90(upright, -1),
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = save(tmp_path, "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
        assert np.array_equal(load_rgb(path), upright)

    @pytest.mark.parametrize("mode", ["L", "P", "1"])
    def test_grey_and_palette_become_rgb(self, tmp_path: Path, mode: str) -> None:
        image = two_colours().convert(mode)
        assert np.array_equal(load_rgb(save(tmp_path, "a.png", image)), np.asarray(image.convert("RGB")))

    def test_cmyk_jpeg_becomes_rgb(self, tmp_path: Path) -> None:
        path = save(tmp_path, "a.jpg", two_colours(32, 32).convert("CMYK"), quality=95)
        assert np.abs(load_rgb(path)[16, 4].astype(int) - RED).max() < 12

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
    def test_sixteen_bits_are_scaled_not_clipped(self, tmp_path: Path, name: str) -> None:
        values = np.array([[0, 128, 257, 20000, 32768, 65407, 65535]], np.uint16)
        loaded = load_rgb(save(tmp_path, name, Image.fromarray(values)))
        assert np.array_equal(loaded[0, :, 0], np.round(values[0] / 257))

    def test_pixels_without_a_known_white_are_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path, "a.tif", Image.fromarray(np.ones((4, 4), np.float32)))
        with pytest.raises(ImageDataError, match=r"a\.tif.*floats"):
            load_rgb(path)

    def test_transparent_pixels_show_the_documented_background(self, tmp_path: Path) -> None:
        image = Image.new("RGBA", (3, 1))
        image.putdata([(*RED, 255), (*RED, 0), (0, 0, 0, 127)])
        loaded = load_rgb(save(tmp_path, "a.png", image))[0]
        assert tuple(loaded[0]) == RED
        assert tuple(loaded[1]) == images.ALPHA_BACKGROUND
        assert abs(int(loaded[2, 0]) - 128) <= 1

    def test_a_transparent_palette_colour_shows_the_background(self, tmp_path: Path) -> None:
        image = two_colours().quantize(2)
        transparent = image.getpixel((0, 0))
        loaded = load_rgb(save(tmp_path, "a.gif", image, transparency=transparent))
        assert tuple(loaded[0, 0]) == images.ALPHA_BACKGROUND

    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif"])
    def test_the_first_frame_of_an_animation_counts(self, tmp_path: Path, name: str) -> None:
        frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
        path = save(tmp_path, name, frames[0], save_all=True, append_images=frames[1:])
        assert np.abs(load_rgb(path)[4, 4].astype(int) - RED).max() < 8

    def test_a_small_file_that_claims_to_be_huge_is_refused_before_decoding(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.png"
        for side in (9_000, 100_000):
            path.write_bytes(png_header(side, 9_000))
            with pytest.raises(ImageDataError, match=r"bomb\.png"):
                load_rgb(path)

    def test_a_huge_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save(tmp_path, "a.png")
        monkeypatch.setattr(images, "MAX_FILE_BYTES", 10)
        with pytest.raises(ImageDataError, match="MiB"):
            load_rgb(path)

    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.png")
        with pytest.raises(ImageDataError, match="is not a file"):
            load_rgb(tmp_path / "a.png")

    @pytest.mark.parametrize(
        "content", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
    )
    def test_other_files_are_an_error_that_names_the_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "odd.jpg"
        path.write_bytes(content)
        with pytest.raises(ImageDataError, match=r"odd\.jpg"):
            load_rgb(path)

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]), st.data())
    def test_a_damaged_file_is_a_picture_or_a_clear_error(
        self, tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
    ) -> None:
        buffer = io.BytesIO()
        two_colours(24, 24).save(buffer, kind)
        content = bytearray(buffer.getvalue()[: data.draw(st.integers(1, len(buffer.getvalue())))])
        for _ in range(data.draw(st.integers(0, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path = tmp_path_factory.mktemp("damaged") / "a.jpg"
        path.write_bytes(content)
        try:
            assert load_rgb(path).ndim == 3
        except ImageDataError as error:
            assert "a.jpg" in error.message


class TestSample:
    def test_the_same_seed_takes_the_same_and_another_seed_others(self) -> None:
        paths = [Path(f"{i:04d}.jpg") for i in range(1000)]
        assert sample(paths, 50, seed=3) == sample(paths, 50, seed=3)
        assert sample(paths, 50, seed=3) != sample(paths, 50, seed=4)

    @given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 5))
    def test_one_out_of_each_equal_stretch(self, count: int, limit: int, seed: int) -> None:
        chosen = [int(path.stem) for path in sample([Path(f"{i}.jpg") for i in range(count)], limit, seed)]
        assert len(chosen) == min(count, limit)
        assert sorted(set(chosen)) == chosen
        stretch = max(1, count / limit)
        assert all(abs(value - (i + 0.5) * stretch) <= stretch / 2 + 1 for i, value in enumerate(chosen))

    def test_no_limit_takes_all(self) -> None:
        paths = [Path("a"), Path("b")]
        assert sample(paths, None, 0) == sample(paths, 2, 0) == paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty-four pictures of different sizes."""
    for i in range(24):
        save(tmp_path, f"{i:02d}.png", two_colours(10 + i, 50 - i))
    return tmp_path


class TestImageFolder:
    def test_gives_every_picture_resized_again_and_again(self, folder: Path) -> None:
        pictures = ImageFolder(folder, (16, 20), "letterbox")
        expected = [resize_image(load_rgb(path), (16, 20), "letterbox") for path in find_images(folder)]
        for _ in range(2):
            assert np.array_equal(np.stack(list(pictures)), np.stack(expected))
        assert len(pictures) == 24
        assert pictures.findings == []

    def test_pictures_come_with_their_files(self, folder: Path) -> None:
        pairs = list(ImageFolder(folder, (8, 8), limit=5).with_paths())
        assert len(pairs) == 5
        assert all(np.array_equal(pixels, resize_image(load_rgb(path), (8, 8))) for path, pixels in pairs)

    def test_broken_files_are_left_out_and_told_once(self, folder: Path) -> None:
        (folder / "03.png").write_bytes(b"nothing")
        whole = (folder / "07.png").read_bytes()
        (folder / "07.png").write_bytes(whole[: len(whole) // 2])
        pictures = ImageFolder(folder, (8, 8))
        assert len(list(pictures)) == len(list(pictures)) == len(pictures) == 22
        told = [finding for finding in pictures.findings if finding.rule == "unreadable-image"]
        assert [name in finding.reason for name, finding in zip(("03.png", "07.png"), told, strict=True)] == [
            True
        ] * 2
        assert {finding.severity for finding in told} == {"warning"}

    def test_no_readable_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"nothing")
        pictures = ImageFolder(tmp_path, (8, 8))
        for _ in range(2):
            with pytest.raises(ImageDataError, match=r"None of the 1 pictures.*a\.png"):
                list(pictures)

    def test_few_pictures_are_told(self, tmp_path: Path) -> None:
        save(tmp_path, "a.png")
        assert [finding.rule for finding in ImageFolder(tmp_path, (8, 8)).findings] == ["few-images"]

    def test_a_folder_of_grey_pictures_is_told(self, tmp_path: Path) -> None:
        for i in range(20):
            save(tmp_path, f"{i}.png", two_colours().convert("L"))
        pictures = ImageFolder(tmp_path, (8, 8))
        list(pictures)
        assert [finding.rule for finding in pictures.findings] == ["grey-images"]
        save(tmp_path, "colour.png")
        coloured = ImageFolder(tmp_path, (8, 8))
        list(coloured)
        assert coloured.findings == []

    def test_reads_only_a_few_pictures_ahead(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded: list[Path] = []
        monkeypatch.setattr(images, "_AHEAD", 4)
        load = ImageFolder._load
        monkeypatch.setattr(ImageFolder, "_load", lambda self, path: loaded.append(path) or load(self, path))
        pictures = iter(ImageFolder(folder, (8, 8)))
        next(pictures)
        time.sleep(0.1)
        assert len(loaded) <= 6
        pictures.close()

    def test_stopping_early_ends_the_thread(self, folder: Path) -> None:
        pictures = iter(ImageFolder(folder, (8, 8)))
        next(pictures)
        pictures.close()
        assert not [one for one in threading.enumerate() if one.name.startswith("coralsmith-images")]

    def test_a_large_jpeg_may_be_decoded_smaller_which_shifts_few_levels(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
        photo = Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC)
        path = save(tmp_path, "a.jpg", photo, quality=92)
        fast = next(iter(ImageFolder(tmp_path, (96, 96)))).astype(int)
        difference = np.abs(fast - resize_image(load_rgb(path), (96, 96)))
        assert 0 < difference.mean() < 2


class TestStart:
    def test_pictures_started_early_are_the_same_and_a_second_pass_works(self, tmp_path: Path) -> None:
        for number in range(40):
            save(tmp_path, f"{number:02}.png", two_colours(8 + number, 12))
        plain, started = ImageFolder(tmp_path, (8, 8)), ImageFolder(tmp_path, (8, 8))
        started.start()
        expected = list(plain)
        for _ in range(2):
            found = list(started)
            assert len(found) == 40
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


class TestReadableSample:
    def test_others_stand_in_for_unreadable_ones(self, tmp_path: Path) -> None:
        for number in range(3):
            (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
        save(tmp_path, "8.png")
        save(tmp_path, "9.png")
        assert len(readable_sample(find_images(tmp_path), 2, 0)) == 2
        assert len(readable_sample(find_images(tmp_path), 5, 0)) == 2

    def test_none_readable_is_an_error_and_none_at_all_is_not(self, tmp_path: Path) -> None:
        (tmp_path / "1.jpg").write_bytes(b"no picture")
        with pytest.raises(ImageDataError, match="None of the 1 pictures"):
            readable_sample(find_images(tmp_path), 2, 0)
        assert readable_sample([], 2, 0) == []
