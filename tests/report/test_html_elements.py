from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from coralsmith.report.html_elements import Markup, code, element, facts, joined, row, table
from coralsmith.report.wording import printable


class Reader(HTMLParser):
    """What a browser makes of a page: elements, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_text_stays_text_in_content_and_in_attributes(text: str) -> None:
    reader = Reader(element("p", text, title=text))
    assert reader.tags == [("p", {"title": printable(text)})]
    assert reader.text == printable(text)


def test_markup_is_kept_as_content_but_never_as_an_attribute() -> None:
    bold = element("b", "<i>")
    assert element("p", bold, " & ") == "<p><b>&lt;i&gt;</b> &amp; </p>"
    assert 'title="&lt;b&gt;' in element("p", title=bold)


def test_attributes_are_named_as_in_html() -> None:
    assert element("td", class_="x", data_target="cpu", hidden=True, id=None, open=False) == (
        '<td class="x" data-target="cpu" hidden></td>'
    )


def test_void_elements_have_no_end() -> None:
    assert element("img", src="data:,") == '<img src="data:,">'


def test_parts_that_are_missing_are_left_out() -> None:
    assert joined("a", None, Markup("<br>")) == "a<br>"


def test_a_name_may_break_behind_its_slashes() -> None:
    assert code("a/b<c") == "<code>a/<wbr>b&lt;c</code>"


def test_a_table_is_semantic_and_can_be_scrolled_by_keyboard() -> None:
    reader = Reader(table(("Name", "Size"), [row("x", element("th", "1 B", scope="row"))], caption="Files"))
    tags = [tag for tag, _ in reader.tags]
    assert tags == ["div", "table", "caption", "thead", "tr", "th", "th", "tbody", "tr", "td", "th"]
    assert reader.tags[0][1] == {"class": "scroll", "role": "region", "aria-label": "Files", "tabindex": "0"}
    assert all(attributes["scope"] == "col" for tag, attributes in reader.tags[5:7])


def test_facts_are_a_description_list() -> None:
    assert facts([("a", "b")]) == "<dl><div><dt>a</dt><dd>b</dd></div></dl>"
