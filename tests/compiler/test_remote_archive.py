"""What another machine sends is taken only where it is what was announced, and only under known names."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from coralsmith.compiler import remote_archive
from coralsmith.compiler.place import OUTPUT_FOLDER
from coralsmith.compiler.remote_archive import IncompleteArchiveError, pack, unpack
from coralsmith.compiler.remote_words import read_trailer

GOOD = {
    "stdout": b"Edge TPU Compiler version 16.0.1\nNumber of Edge TPU subgraphs: 1\n",
    "stderr": b"ERROR: x\n",
    "out/model_edgetpu.tflite": b"compiled",
    "out/model_edgetpu.log": b"Edge TPU Compiler version 16.0.1\n",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "run" / "work"
    (folder / OUTPUT_FOLDER).mkdir(parents=True)
    return folder


def archive(path: Path, files: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as target:
        for member in special:
            target.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return path


def sums(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_everything_of_a_whole_archive_is_taken(folder, tmp_path):
    stdout, stderr, blocks = unpack(archive(tmp_path / "a.tar", GOOD), folder, sums(GOOD))
    assert (stdout.encode(), stderr.encode()) == (GOOD["stdout"], GOOD["stderr"])
    assert blocks[-1].subgraphs == 1
    assert files_under(folder) == {"out/model_edgetpu.tflite", "out/model_edgetpu.log"}
    assert (folder / "out/model_edgetpu.tflite").read_bytes() == b"compiled"


def test_what_stands_before_the_archive_is_passed_over(folder, tmp_path):
    content = archive(tmp_path / "a.tar", GOOD).read_bytes()
    (tmp_path / "a.tar").write_bytes(b"Welcome!\nmark\n" + content)
    stdout, _, _ = unpack(tmp_path / "a.tar", folder, sums(GOOD), b"mark\n")
    assert stdout.encode() == GOOD["stdout"]
    assert (folder / "out/model_edgetpu.tflite").read_bytes() == b"compiled"
    with pytest.raises(IncompleteArchiveError, match="did not begin"):
        unpack(tmp_path / "a.tar", folder, sums(GOOD), b"other mark\n")


@pytest.mark.parametrize("length", [0, 100, 512, 700, 1600, 2600])
def test_an_archive_that_ends_early_is_refused(folder, tmp_path, length):
    whole = archive(tmp_path / "a.tar", GOOD).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:length])
    with pytest.raises(IncompleteArchiveError):
        unpack(tmp_path / "a.tar", folder, sums(GOOD))


def test_a_byte_that_changed_on_the_way_is_noticed(folder, tmp_path):
    changed = {**GOOD, "out/model_edgetpu.tflite": b"compileD"}
    with pytest.raises(IncompleteArchiveError, match="changed on its way"):
        unpack(archive(tmp_path / "a.tar", changed), folder, sums(GOOD))


@pytest.mark.parametrize("missing", ["stdout", "stderr", "out/model_edgetpu.tflite"])
def test_what_was_announced_must_come(folder, tmp_path, missing):
    files = {name: content for name, content in GOOD.items() if name != missing}
    with pytest.raises(IncompleteArchiveError):
        unpack(archive(tmp_path / "a.tar", files), folder, sums(GOOD))


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped", "out/../../escaped", "out/other.txt", "model.tflite", "out/.bashrc"]
)
def test_files_of_other_names_are_left(folder, tmp_path, name):
    files = {**GOOD, name: b"hostile"}
    unpack(archive(tmp_path / "a.tar", files), folder, sums(files))
    assert files_under(folder) == {"out/model_edgetpu.tflite", "out/model_edgetpu.log"}
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_left(folder, tmp_path, kind):
    member = tarfile.TarInfo("out/model_segment_0_of_2_edgetpu.tflite")
    member.type, member.linkname = kind, "/etc/passwd"
    unpack(archive(tmp_path / "a.tar", GOOD, member), folder, sums(GOOD))
    assert files_under(folder) == {"out/model_edgetpu.tflite", "out/model_edgetpu.log"}


def test_a_file_larger_than_any_model_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_archive, "_MAX_OUTPUT_BYTES", 7)
    with pytest.raises(IncompleteArchiveError, match="larger than any model"):
        unpack(archive(tmp_path / "a.tar", GOOD), folder, sums(GOOD))


def test_what_goes_there_is_models_arguments_and_their_hashes(folder, tmp_path):
    (folder / "model.tflite").write_bytes(b"model")
    (folder / "compiler").symlink_to("/usr/bin")
    pack(folder, ["-i", "a;b $(c)"], tmp_path / "up.tar")
    with tarfile.open(tmp_path / "up.tar") as sent:
        content = {name: sent.extractfile(name).read() for name in sent.getnames()}
    assert set(content) == {"model.tflite", "arguments", "sums"}
    assert content["arguments"] == b"-i\na;b $(c)\n"
    announced = dict(line.split("  ")[::-1] for line in content["sums"].decode().splitlines())
    assert announced == sums({name: content[name] for name in ("model.tflite", "arguments")})


# What the script says about itself.


def test_only_lines_with_the_token_are_the_scripts():
    text = "coralsmith-aa begun\ncoralsmith-bb missing\nbanner\ncoralsmith-aa end 0 12345\n"
    trailer = read_trailer("aa", text)
    assert trailer.has_begun and trailer.is_over
    assert (trailer.exit_code(10, 1), trailer.free_kib) == (0, 12345)
    assert trailer.refusal("host") is None
    assert trailer.foreign == "coralsmith-bb missing banner"


@pytest.mark.parametrize(
    ("code", "seconds", "meaning"),
    [("0", 1, 0), ("1", 1, 1), ("124", 10, None), ("137", 11, None), ("137", 1, -9), ("139", 1, -11), ("x", 1, 1)],
)
def test_exit_codes_of_the_other_machine(code, seconds, meaning):
    assert read_trailer("aa", f"coralsmith-aa end {code} 1\n").exit_code(10, seconds) == meaning


def test_a_hostile_detail_stays_text():
    trailer = read_trailer("aa", "coralsmith-aa nowhere {0.__class__} {host}\n")
    message, hint = trailer.refusal("desk")
    assert message == "No temporary folder can be made on desk."
    assert "{0.__class__} {host}" in hint
