"""A page is whole in itself, escapes what it is given, and is the same text for the same content."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from html_tree import Tree, check_self_contained
from voxaffect import html_page, html_style
from voxaffect.html_page import Beside, Cell, Figure, Html, Section, Stamp, Table, element, page, paragraph

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
HOSTILE = "<script>alert('1')</script>\"&"


def example(stamp: Stamp | None = None) -> str:
    table = Table(["class", "n"], [["angry", Cell("127", heat=0.5)], ["sad", "62"]], "Counts", note="All.")
    sections = [
        Section("Numbers", [paragraph("One & two."), table, Section("Deeper", [Beside([table, table])])]),
        Section("Pictures", [Figure(PNG, "A dot", alt="a dot", width=40)]),
    ]
    return page("A page", sections, lead=[paragraph("Lead.")], footer="Made by hand.", stamp=stamp)


@pytest.mark.parametrize("stamp", [None, Stamp("OPTIMISTIC", "It looked at the answers.")])
def test_every_element_is_closed_where_it_was_opened(stamp: Stamp | None) -> None:
    assert Tree(example(stamp)).open == []


def test_the_tree_of_the_tests_notices_what_is_not_balanced() -> None:
    with pytest.raises(AssertionError, match="</p> closes nothing"):
        Tree("<div><b></p></div>")
    assert Tree("<div><p></p>").open == ["div"]


def test_headings_follow_each_other_without_a_gap_and_the_contents_lead_to_them() -> None:
    tree = Tree(example())
    assert [tag for tag, _ in tree.elements if re.fullmatch("h[1-6]", tag)] == ["h1", "h2", "h3", "h2"]
    links = [a["href"] for tag, a in tree.elements if tag == "a"]
    assert links == [f"#{a['id']}" for tag, a in tree.elements if tag == "section" and "id" in a]
    assert tree.texts["a"] == ["Numbers", "Pictures"]


def test_a_single_section_needs_no_list_of_contents() -> None:
    assert "<nav" not in page("A", [Section("B", [])])


def test_nothing_is_loaded_and_nothing_can_run() -> None:
    tree = check_self_contained(example())
    style = tree.texts["style"][0]
    policy = next(a["content"] for _, a in tree.elements if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy


def test_text_is_escaped_wherever_it_goes() -> None:
    h = HOSTILE
    table = Table([h, h], [[h, Cell(h)]], h, note=h)
    parts = [paragraph(h), table, Figure(PNG, h, alt=h), html_page.bullets([h]), html_page.terms([(h, h)])]
    text = page(h, [Section(h, [*parts, html_page.code(h), html_page.strong(h)])] * 2, footer=h)
    tree = Tree(text)
    assert "script" not in {tag for tag, _ in tree.elements}
    for tag in ("title", "h1", "h2", "a", "p", "th", "td", "figcaption", "li", "dt", "dd", "code", "strong"):
        assert tree.texts[tag] and all(HOSTILE in words for words in tree.texts[tag]), tag
    assert [a["alt"] for tag, a in tree.elements if tag == "img"] == [HOSTILE] * 2
    assert tree.texts["footer"] == [HOSTILE]


def test_what_no_page_may_hold_is_replaced() -> None:
    text = page("a\x00b\ud800c\x1bd", [Section("\x85", [])])
    assert "<h1>a\ufffdb\ufffdc\ufffdd</h1>" in text
    assert text.encode("utf-8").decode("utf-8") == text


def test_markup_is_taken_as_it_is_and_attributes_are_quoted() -> None:
    made = element("a", Html("<b>x</b>"), "<", class_="y", aria_label='"')
    assert made.markup == '<a class="y" aria-label="&quot;"><b>x</b>&lt;</a>'
    assert element("br").markup == "<br>"


def test_numbers_stand_to_the_right_and_the_first_cell_heads_its_row() -> None:
    text = page("A", [Section("B", [Table(["a", "b", "c"], [["x", "1", "y"]], align="lrl")])])
    assert '<tr><th class="l short" scope="row">x</th><td class="r">1</td><td class="l">y</td></tr>' in text
    assert '<th scope="col" class="r">b</th>' in text


def test_cells_can_be_marked() -> None:
    row = ["x", Cell("1", heat=1.0, strong=True), Cell("2", head=True)]
    text = page("A", [Section("B", [Table(["a", "b", "c"], [row], compact=True)])])
    assert '<td class="r h20 strong">1</td><th class="r" scope="row">2</th>' in text
    assert '<table class="compact">' in text


def test_a_stamp_is_on_every_heading_table_and_figure_and_in_the_title() -> None:
    tree = Tree(example(Stamp("OPTIMISTIC", "It looked at the answers.")))
    for tag in ("title", "h1", "h2", "h3", "figcaption"):
        assert all(words.startswith("OPTIMISTIC") for words in tree.texts[tag]), tag
    figures = sum(tag == "figure" for tag, _ in tree.elements)
    assert figures == len(tree.texts["figcaption"]) == 4
    assert "OPTIMISTIC It looked at the answers." in tree.texts["p"]
    assert "OPTIMISTIC" not in example()


def test_a_stamp_is_on_what_has_no_caption_too() -> None:
    parts = [Table(["a"], [["x"]]), Figure(PNG, "")]
    tree = Tree(page("A", [Section("B", parts)], stamp=Stamp("OPTIMISTIC", "Why.")))
    assert tree.texts["figcaption"] == ["OPTIMISTIC"] * 2
    assert "figcaption" not in Tree(page("A", [Section("B", parts)])).texts


def test_pictures_are_embedded_byte_for_byte() -> None:
    svg = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'></svg>"
    for picture, kind in ((PNG, "image/png"), (svg, "image/svg+xml")):
        tree = Tree(page("A", [Section("B", [Figure(picture, "C", alt="D", width=99)])]))
        image = next(a for tag, a in tree.elements if tag == "img")
        head, _, data = (image["src"] or "").partition(",")
        assert head == f"data:{kind};base64" and base64.b64decode(data) == picture
        assert (image["alt"], image["width"]) == ("D", "99")
    inline = Figure(element("svg", element("title", "x")), "C")
    assert "<svg><title>x</title></svg>" in page("A", [Section("B", [inline])])


def test_the_same_content_gives_the_same_text() -> None:
    assert example() == example()


def test_the_check_of_self_containedness_can_fail() -> None:
    for bad in (
        "<script></script>",
        "<img src='https://example.org/x.png'>",
        "<p onclick='x()'></p>",
        "<p style='color:red'></p>",
        "<p>",
        "<style>@import 'x.css'</style>",
    ):
        with pytest.raises(AssertionError):
            check_self_contained(f"<style></style>{bad}")


def test_the_last_rows_can_be_set_apart() -> None:
    text = page("A", [Section("B", [Table(["a"], [["x"], ["sum"]], foot=1)])])
    assert '<tfoot><tr><th class="l short" scope="row">sum</th></tr></tfoot>' in text


def test_no_line_ends_before_a_percent_sign_in_prose() -> None:
    assert paragraph("50 % of it").markup == "<p>50\u00a0% of it</p>"
    assert html_page.join("50 %").markup == "50 %"  # ids and cells stay as they are


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells for 2 columns"):
        Table(["a", "b"], [["x"]])
    with pytest.raises(ValueError, match="align must be 2 of the letters l, r and c, got 'lx'"):
        Table(["a", "b"], [], align="lx")
    with pytest.raises(ValueError, match=r"heat must be from 0 to 1, got 1\.5"):
        Cell("x", heat=1.5)
    with pytest.raises(ValueError, match="must be a PNG or an SVG file; these bytes begin with b'GIF89a'"):
        Figure(b"GIF89a", "C")


@pytest.mark.parametrize("ends", [html_style.LIGHT_HEAT, html_style.DARK_HEAT])
def test_heat_can_be_read_at_every_step(ends: tuple[html_style.Colour, html_style.Colour]) -> None:
    for step in range(html_style.HEAT_STEPS + 1):
        ground, ink = (
            tuple(int(c[i : i + 2], 16) for i in (1, 3, 5))
            for c in html_style.heat_colour(ends, step / html_style.HEAT_STEPS)
        )
        light, dark = sorted((html_style.luminance(ground), html_style.luminance(ink)), reverse=True)  # type: ignore[arg-type]
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, success criterion 1.4.3


def test_luminance_is_that_of_the_standard() -> None:
    assert html_style.luminance((255, 255, 255)) == pytest.approx(1.0)
    assert html_style.luminance((0, 0, 0)) == 0.0
    assert html_style.luminance((255, 0, 0)) == pytest.approx(0.2126)
    assert html_style.luminance((119, 119, 119)) == pytest.approx(0.1845, abs=1e-4)
