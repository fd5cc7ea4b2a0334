"""Label files of every habit give the same list, and what is written can be read again, by Frigate's rules too."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.detection import labels
from coralsmith.detection.labels import UNNAMED, parse_labels, read_labels, write_labels
from coralsmith.errors import InputError, OutputError, UsageError

LABEL_MAP = """
# a comment
item {
  id: 1
  name: "/m/01g317"
  display_name: "person"
}
item: { name: 'traffic light', id: 3
  keypoints { id: 7 label: "lamp" }
}
"""
one_line = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
).map(lambda text: " ".join(text.split()))


class TestPlain:
    def test_one_label_a_line(self) -> None:
        assert parse_labels("fish\nstar fish\nturtle\n") == ["fish", "star fish", "turtle"]

    def test_windows_line_ends_blank_lines_and_spaces_do_not_count(self) -> None:
        assert parse_labels("\r\n  fish \r\n\r\nturtle\r\n\r\n") == ["fish", "turtle"]

    @pytest.mark.parametrize("text", ["10 euro\n20 euro\n50 euro", "3 wheeler", "1 cent\n1 euro", "0 a\n0 b"])
    def test_numbers_that_cannot_be_class_ids_belong_to_the_labels(self, text: str) -> None:
        assert parse_labels(text) == text.splitlines()

    def test_a_digit_first_among_others_is_a_label(self) -> None:
        assert parse_labels("4x4\n2 doors\ntruck") == ["4x4", "2 doors", "truck"]


class TestNumbered:
    @pytest.mark.parametrize(
        "text", ["0 fish\n1 turtle", "0: fish\n1:  turtle", "1 turtle\n\n0 fish", "0,  fish\n1\tturtle"]
    )
    def test_the_number_is_the_class_id(self, text: str) -> None:
        assert parse_labels(text) == ["fish", "turtle"]

    def test_left_out_ids_are_unnamed(self) -> None:
        assert parse_labels("0 person\n3 motorcycle") == ["person", UNNAMED, UNNAMED, "motorcycle"]

    def test_numbers_without_gap_from_one_are_shifted(self) -> None:
        assert parse_labels("1 fish\n2 turtle\n3 starfish") == ["fish", "turtle", "starfish"]

    def test_an_absurd_id_is_an_error_not_a_list_of_that_length(self) -> None:
        with pytest.raises(InputError, match="999999999"):
            parse_labels("0 fish\n999999999 turtle")


class TestLabelMap:
    def test_ids_count_from_one_and_the_display_name_wins(self) -> None:
        assert parse_labels(LABEL_MAP) == ["person", UNNAMED, "traffic light"]

    def test_the_background_item_is_no_class(self) -> None:
        assert parse_labels("item { id: 0 name: 'background' }\nitem { id: 1 name: 'a' }") == ["a"]

    def test_quotes_escapes_and_bytes_in_octal(self) -> None:
        assert parse_labels(r"""item { id: 1 name: "caf\303\251 \"x\"" }""") == ['café "x"']

    def test_a_brace_in_a_string_is_text(self) -> None:
        assert parse_labels("item { id: 1 name: '}{' }") == ["}{"]

    @pytest.mark.parametrize(
        "text",
        [
            "item { id: 1 name: 'a'",
            "item { id: 1 name: 'a' } }",
            "item { id: 1 }",
            "item { name: 'a' }",
            "item { id: -1 name: 'a' }",
            "item { id: 0 name: 'a' }",
            "item { id: 1 name: 'a' }\nitem { id: 1 name: 'b' }",
            "item { id: 1 name: 'a }",
            "item { id: 0 name: 'background' }",
        ],
    )
    def test_a_damaged_map_is_an_error(self, text: str) -> None:
        with pytest.raises(InputError):
            parse_labels(text)


class TestFiles:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_byte_order_marks_are_understood(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "labels.txt"
        path.write_bytes("Fisch\nSchildkröte\n".encode(encoding))
        assert read_labels(path) == ["Fisch", "Schildkröte"]

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\x01\x02", b"\xff\xfea", b"caf\xe9\n"])
    def test_what_is_no_list_of_labels_is_an_error_that_names_the_file(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "labels.txt"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"labels\.txt"):
            read_labels(path)

    def test_a_large_file_is_not_read_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(labels, "MAX_BYTES", 10)
        (tmp_path / "a.txt").write_text("a\n" * 100)
        with pytest.raises(InputError, match="larger than 10 bytes"):
            read_labels(tmp_path / "a.txt")

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            read_labels(tmp_path / "a.txt")

    @given(st.lists(one_line.filter(bool), min_size=1))
    def test_what_is_written_is_read_again(
        self, tmp_path_factory: pytest.TempPathFactory, names: list[str]
    ) -> None:
        path = tmp_path_factory.mktemp("labels") / "labels.txt"
        write_labels(path, names)
        assert read_labels(path) == names

    def test_plain_lines_unless_a_label_starts_with_a_digit(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.txt"
        write_labels(path, ["fish", "turtle"])
        assert path.read_bytes() == b"fish\nturtle\n"
        write_labels(path, ["10 euro", "20 euro"])
        assert path.read_bytes() == b"0 10 euro\n1 20 euro\n"

    @pytest.mark.parametrize("label", ["", " fish", "a\nb", "a\u2028b", "\ufefffish", "a\0b"])
    def test_a_label_that_is_not_one_line_is_refused(self, tmp_path: Path, label: str) -> None:
        with pytest.raises(UsageError):
            write_labels(tmp_path / "labels.txt", [label])

    def test_a_file_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError):
            write_labels(tmp_path / "missing" / "labels.txt", ["fish"])
