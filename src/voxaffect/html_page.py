"""A self-contained HTML page of sections, tables and figures: no script, nothing loaded, everything escaped.

    page("Title", [Section("Classes", [paragraph("What it shows."), Table(["class", "n"], [["angry", "127"]], "Counts"),
                                       Figure(png_bytes, "Class distribution", alt="Bars: angry 127, …")])])

Text is `str` and is escaped wherever it goes; markup is `Html`, which only `element` and the functions on top of it
make. A picture is the bytes of a PNG or SVG file, or an inline `<svg>` made of `element`s that the page's own colours
reach: the classes of `STYLE` that begin with `s-` (stroke) and `f-` (fill). Light or dark by the reader's
setting; readable at 320 pixels and on paper. The same arguments give the same text, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from voxaffect.html_style import HEAT_STEPS, STYLE

VOID = frozenset({"br", "hr", "img", "meta", "col", "wbr"})
"""Elements that have neither content nor an end tag."""
SHORT = 32
"""A row's heading of up to so many characters stays on one line."""
_BEFORE_PERCENT = re.compile(r"(?<=\d) (?=%)")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Html:
    """Markup that goes into the page as it is."""

    markup: str


Content: TypeAlias = "Html | str"
"""Text, which is escaped, or markup."""


@dataclass(frozen=True)
class Cell:
    """A cell with more than content: `heat` from 0 to 1 colours it, `strong` marks it, `head` makes it a heading."""

    content: Content
    heat: float | None = None
    strong: bool = False
    head: bool = False

    def __post_init__(self) -> None:
        if self.heat is not None and not 0 <= self.heat <= 1:
            raise ValueError(f"heat must be from 0 to 1, got {self.heat}")


@dataclass(frozen=True)
class Table:
    """Rows under a head, with a caption above and a note below.

    `align` has a letter for each column: l(eft), r(ight: numbers) or c(entre); empty: the first left, the others
    right. The first cell of a row is its heading. The last `foot` rows are set apart: totals, means. `compact` is a
    heat table: equal narrow columns.

    Raises ValueError if a row or `align` does not have as many columns as the head.
    """

    head: Sequence[Content]
    rows: Sequence[Sequence[Content | Cell]]
    caption: Content = ""
    align: str = ""
    note: Content = ""
    foot: int = 0
    compact: bool = False

    def __post_init__(self) -> None:
        n = len(self.head)
        if wrong := [len(row) for row in self.rows if len(row) != n]:
            raise ValueError(f"a row has {wrong[0]} cells for {n} columns")
        align = self.align or "l" + "r" * (n - 1)
        if len(align) != n or set(align) - set("lrc"):
            raise ValueError(f"align must be {n} of the letters l, r and c, got {self.align!r}")
        object.__setattr__(self, "align", align)


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; `alt` says in words what it shows, to those who cannot see it.

    `picture` is the bytes of a PNG or SVG file, shown `width` CSS pixels wide (None: as large as it is) and never
    wider than the page, or inline markup. Raises ValueError for bytes of another format.
    """

    picture: bytes | Html
    caption: Content
    alt: str = ""
    width: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.picture, bytes):
            _media_type(self.picture)


@dataclass(frozen=True)
class Beside:
    """Parts side by side where there is room, else one below the other; `dense` makes room for more heat tables."""

    parts: Sequence[Part]
    dense: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with what belongs under it; `parts` may hold sections of the next level."""

    title: str
    parts: Sequence[Part]


Part: TypeAlias = "Html | Table | Figure | Beside | Section"


@dataclass(frozen=True)
class Stamp:
    """A word that every heading, table and figure of a page must carry, and the sentence that says why."""

    word: str
    why: str


def escape(text: str) -> str:
    """`text` for use between tags or in a quoted attribute; what no page may hold becomes U+FFFD."""
    return html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True)


def element(name: str, *children: Content, **attributes: str) -> Html:
    """`<name attributes>children</name>`; `class_` means class, `aria_label` aria-label."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    if name in VOID:
        return Html(f"<{name}{words}>")
    return Html(f"<{name}{words}>{join(*children).markup}</{name}>")


def join(*contents: Content) -> Html:
    """`contents` one after the other, text escaped."""
    return Html("".join(c.markup if isinstance(c, Html) else escape(c) for c in contents))


def paragraph(*contents: Content) -> Html:
    """A paragraph of text and markup; no line ends between a number and its percent sign."""
    return element("p", *map(_prose, contents))


def strong(text: Content) -> Html:
    """Text that matters more."""
    return element("strong", text)


def code(text: str) -> Html:
    """A command, file or option name."""
    return element("code", text)


def bullets(items: Sequence[Content]) -> Html:
    """A list of points."""
    return element("ul", *(element("li", _prose(item)) for item in items))


def terms(pairs: Sequence[tuple[Content, Content]]) -> Html:
    """Names with what each stands for, as a two-column list."""
    rows = (element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    return element("dl", *rows)


def page(
    title: str,
    sections: Sequence[Section],
    *,
    lead: Sequence[Part] = (),
    footer: Content = "",
    stamp: Stamp | None = None,
) -> str:
    """The whole document. `lead` stands under the title, before the list of contents; a `stamp` is put on every
    heading, table and figure."""
    badge = element("span", stamp.word, class_="stamp") if stamp else Html("")
    banner = element("p", badge, " ", stamp.why, class_="banner", role="note") if stamp else Html("")
    contents = [element("li", element("a", s.title, href=f"#s{i}")) for i, s in enumerate(sections, 1)]
    body = join(
        element("header", _heading(1, title, badge), banner, *(_part(p, badge, 1, "") for p in lead)),
        element("nav", element("ol", *contents), aria_label="Contents") if len(contents) > 1 else Html(""),
        element("main", *(_part(s, badge, 1, f"s{i}") for i, s in enumerate(sections, 1))),
        element("footer", footer) if footer else Html(""),
    )
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = join(
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("title", f"{stamp.word}: {title}" if stamp else title),
        Html(f"<style>{STYLE}</style>"),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head.markup}</head>\n<body>{body.markup}</body>\n</html>\n'


def _prose(content: Content) -> Content:
    return _BEFORE_PERCENT.sub("\u00a0", content) if isinstance(content, str) else content


def _heading(level: int, title: str, badge: Html) -> Html:
    return element(f"h{level}", badge, " " if badge.markup else "", title)


def _part(part: Part, badge: Html, level: int, anchor: str) -> Html:
    if isinstance(part, Html):
        return part
    if isinstance(part, Section):
        children = (_heading(min(level + 1, 6), part.title, badge), *part.parts)
        inner = [c if isinstance(c, Html) else _part(c, badge, level + 1, "") for c in children]
        body = join("\n", *inner)
        return element("section", body, id=anchor) if anchor else element("section", body)
    if isinstance(part, Beside):
        kind = "beside dense" if part.dense else "beside"
        return element("div", *(_part(p, badge, level, "") for p in part.parts), class_=kind)
    return _table(part, badge) if isinstance(part, Table) else _figure(part, badge)


def _table(table: Table, badge: Html) -> Html:
    head = [element("th", h, scope="col", class_=a) for h, a in zip(table.head, table.align, strict=True)]
    rows = [
        element("tr", *(_cell(c, a, i == 0) for i, (c, a) in enumerate(zip(row, table.align, strict=True))))
        for row in table.rows
    ]
    whole = element(
        "table",
        element("thead", element("tr", *head)),
        element("tbody", "\n", *rows[: len(rows) - table.foot]),
        *([element("tfoot", *rows[len(rows) - table.foot :])] if table.foot else []),
        class_="compact" if table.compact else "plain",
    )
    note = element("p", _prose(table.note), class_="note") if table.note else Html("")
    return element("figure", *_caption(table.caption, badge), element("div", whole, class_="scroll"), note)


def _cell(content: Content | Cell, align: str, first: bool) -> Html:
    cell = content if isinstance(content, Cell) else Cell(content)
    classes = [align]
    if cell.heat is not None:
        classes.append(f"h{round(cell.heat * HEAT_STEPS)}")
    if cell.strong:
        classes.append("strong")
    if first and isinstance(cell.content, str) and len(cell.content) <= SHORT:
        classes.append("short")
    name, scope = ("th", {"scope": "row"}) if first or cell.head else ("td", {})
    return element(name, cell.content, class_=" ".join(classes), **scope)


def _figure(figure: Figure, badge: Html) -> Html:
    picture = figure.picture
    if isinstance(picture, bytes):
        data = f"data:{_media_type(picture)};base64,{base64.b64encode(picture).decode()}"
        width = {} if figure.width is None else {"width": str(figure.width)}
        picture = element("img", src=data, alt=figure.alt, **width)
    return element("figure", *_caption(figure.caption, badge), element("div", picture, class_="scroll"))


def _caption(caption: Content, badge: Html) -> list[Html]:
    """Above what it describes; not a `<caption>`, which would be wrapped to the width of a narrow table."""
    words = [c for c in (badge, _prose(caption)) if c not in ("", Html(""))]
    spaced = [part for word in words for part in (" ", word)][1:]
    return [element("figcaption", *spaced)] if words else []


def _media_type(picture: bytes) -> str:
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if b"<svg" in picture[:2000]:
        return "image/svg+xml"
    raise ValueError(f"a picture must be a PNG or an SVG file; these bytes begin with {picture[:8]!r}")
