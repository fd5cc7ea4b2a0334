"""A bundle is a folder or a zip file, the same for the same content, and never written over something else."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from coralsmith.deploy import writing
from coralsmith.deploy.writing import MARK, write_bundle
from coralsmith.errors import OutputError, UsageError

FILES = {"README.txt": b"read me", "reef/labelmap.txt": b"0 fish\n", MARK: b"{}"}


def test_a_folder_holds_the_files(tmp_path: Path) -> None:
    listed = write_bundle(FILES, tmp_path / "new" / "bundle", force=False)
    for name, content in FILES.items():
        assert (tmp_path / "new" / "bundle" / name).read_bytes() == content
    assert [(one.name, one.bytes) for one in listed] == [(name, len(data)) for name, data in FILES.items()]
    assert listed[0].sha256 == hashlib.sha256(b"read me").hexdigest()


def test_a_zip_holds_the_files_and_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_bundle(FILES, tmp_path / name, force=False)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_an_earlier_bundle_is_written_over(tmp_path: Path, name: str) -> None:
    write_bundle(FILES, tmp_path / name, force=False)
    write_bundle({**FILES, "README.txt": b"again"}, tmp_path / name, force=False)


def test_a_foreign_folder_is_left_alone_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="not from coralsmith"):
        write_bundle(FILES, tmp_path, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    write_bundle(FILES, tmp_path, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_foreign_zip_is_left_alone_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "photos.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("holiday.jpg", b"precious")
    before = target.read_bytes()
    with pytest.raises(UsageError, match="no bundle of coralsmith"):
        write_bundle(FILES, target, force=False)
    assert target.read_bytes() == before
    write_bundle(FILES, target, force=True)
    assert target.read_bytes() != before


def test_a_folder_that_is_called_zip_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.zip").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_bundle(FILES, tmp_path / "x.zip", force=True)


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="cannot be made"):
        write_bundle(FILES, tmp_path / "file", force=False)


def test_what_only_the_earlier_bundle_held_is_gone_and_all_else_stays(tmp_path: Path) -> None:
    mark = b'{"files": [{"name": "reef/labelmap.txt"}, {"name": "../outside.txt"}, {"name": "/etc/hostname"}]}'
    folder = tmp_path / "bundle"
    write_bundle({**FILES, MARK: mark}, folder, force=False)
    (folder / "notes.txt").write_text("mine")
    (tmp_path / "outside.txt").write_text("mine too")
    write_bundle({"README.txt": b"new", "other/model.tflite": b"", MARK: b"{}"}, folder, force=False)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert present == {"README.txt", "other", "other/model.tflite", MARK, "notes.txt"}
    assert (tmp_path / "outside.txt").exists()


@pytest.mark.parametrize("mark", [b"no json", b"[]", b'{"files": 3}', b'{"files": [{"name": 3}]}'])
def test_a_damaged_mark_of_an_earlier_bundle_removes_nothing(tmp_path: Path, mark: bytes) -> None:
    write_bundle({**FILES, MARK: mark}, tmp_path / "bundle", force=False)
    write_bundle({MARK: b"{}"}, tmp_path / "bundle", force=False)
    assert (tmp_path / "bundle" / "README.txt").exists()


def test_a_bundle_that_was_killed_half_written_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, content: bytes) -> None:
        if path.name == "labelmap.txt":
            raise KeyboardInterrupt
        path.write_bytes(content)

    monkeypatch.setattr(writing, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(FILES, tmp_path / "bundle", force=False)
    monkeypatch.undo()
    write_bundle(FILES, tmp_path / "bundle", force=False)
