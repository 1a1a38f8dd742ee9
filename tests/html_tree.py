"""A page as its elements, for tests: balanced or refused, and tables as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from voxaffect.html_page import VOID

Attributes = dict[str, str | None]


class Tree(HTMLParser):
    """Every element with its attributes and text; refuses an end tag that closes nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, Attributes]] = []
        self.texts: dict[str, list[str]] = {}
        self._writing: list[tuple[str, int]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")
            self._writing.append((tag, len(self.texts[tag]) - 1))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        self._writing.pop()

    def handle_data(self, data: str) -> None:
        for tag, i in self._writing:
            self.texts[tag][i] += data


def check_self_contained(text: str) -> Tree:
    """The tree of a page that is balanced, loads nothing and can run nothing."""
    tree = Tree(text)
    assert tree.open == []
    for tag, attributes in tree.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "use", "image"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            assert re.match(r"#|data:image/(png|svg\+xml);base64,", attributes.get(name) or "#")
    for style in tree.texts["style"]:
        assert not re.search(r"url\(|@import|http|expression", style)
    return tree


class Tables(HTMLParser):
    """Every table of a page by its caption: rows of cells' texts, the head first."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.named: list[tuple[str, list[list[str]]]] = []
        self._caption = ""
        self._in_caption = self._in_cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "figure":
            self._caption = ""
        self._in_caption = tag == "figcaption" or self._in_caption
        if tag == "table":
            self.named.append((self._caption, []))
        if tag == "tr":
            self.named[-1][1].append([])
        if tag in ("td", "th"):
            self.named[-1][1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "figcaption":
            self._in_caption = False
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_caption:
            self._caption += data
        if self._in_cell:
            self.named[-1][1][-1][-1] += data


def table(text: str, caption: str, which: int = 0) -> list[list[str]]:
    """The rows of the `which`-th table whose caption begins with `caption`."""
    named = Tables(text).named
    found = [rows for words, rows in named if words.replace("\u00a0", " ").startswith(caption)]
    assert len(found) > which, f"no table {caption!r} among {[words for words, _ in named]}"
    return found[which]


def section(text: str, title: str) -> str:
    """The markup from the heading `title` to the next of its level or above."""
    start = re.search(rf"<h(\d)>(?:<span[^>]*>[^<]*</span> )?{re.escape(title)}</h", text)
    assert start, f"no heading {title!r}"
    end = re.compile(rf"<h[1-{start[1]}]>|<footer").search(text, start.end())
    return text[start.end() : end.start() if end else len(text)]
