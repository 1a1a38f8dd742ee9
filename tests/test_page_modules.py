"""The page's modules one by one against a second truth, and its files: nothing inline, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxaffect
from browsing import page_of
from serving import Server
from voxaffect.labels import EMOTIONS
from voxaffect.result import Result, Segment, Settings

PAGE = Path(voxaffect.__file__).parent / "serve" / "page"


@pytest.fixture(scope="module")
def page(browser: Any, served: Server) -> Iterator[Any]:
    with page_of(browser, served.origin) as opened:
        yield opened


def test_the_same_colours_as_in_pictures(page: Any) -> None:
    figure = pytest.importorskip("voxaffect.timeline_figure")
    for labels in (["angry", "happy", "neutral", "sad"], list(EMOTIONS), ["sad", "smug", "wry"]):
        ours = page.evaluate("async (l) => (await import('/colours.js')).labelColours(l)", labels)
        assert ours == figure.label_colours(labels)


def test_ink_can_be_read_on_every_colour(page: Any) -> None:
    from voxaffect.html_style import luminance

    script = """async (labels) => {
      const { labelColours, inkOn } = await import("/colours.js");
      return Object.values(labelColours(labels)).map((colour) => [colour, inkOn(colour)]);
    }"""
    pairs = page.evaluate(script, list(EMOTIONS))
    assert len(pairs) == len(EMOTIONS)
    for pair in pairs:
        light, dark = sorted((luminance(_rgb(colour)) for colour in pair), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_same_tracks_as_the_package_cuts(page: Any) -> None:
    track = pytest.importorskip("voxaffect.track")
    rng = np.random.default_rng(5)
    script = "async (result) => (await import('/track.js')).tracksOf(result)"
    for _ in range(20):
        result = _timeline(rng)
        theirs = page.evaluate(script, result.to_dict())
        ours = track.tracks(result)
        assert [each["name"] for each in theirs] == [each.name for each in ours]
        for their, our in zip(theirs, ours, strict=True):
            kinds = [(p["start"], p["end"], p["label"], p["uncertain"]) for p in their["pieces"]]
            assert kinds == [(p.start, p.end, p.label, p.uncertain) for p in our.pieces]
            scores = [p["score"] for p in their["pieces"]]
            assert scores == pytest.approx([p.score for p in our.pieces])


def _timeline(rng: np.random.Generator) -> Result:
    """Two channels of windows that overlap, touch, coincide and leave gaps."""
    segments = [
        Segment(
            channel=channel,
            start=float(start),
            end=float(start + rng.choice([0.8, 3.0])),
            label=str(rng.choice(["sad", "happy"])),
            score=float(rng.uniform(0.5, 1.0)),
            probs={"happy": 0.4, "sad": 0.6},
            votes={"sad": 1},
            agreement=1.0,
            uncertain=bool(rng.random() < 0.3),
            role="customer" if channel else None,
        )
        for channel in (0, 1)
        for start in np.cumsum(rng.choice([0.0, 0.37, 1.0, 4.2], 30, p=[0.05, 0.25, 0.6, 0.1]))
    ]
    settings = Settings(window=3.0, hop=1.0, vad=True, channels="split")
    return Result("two", label="sad", score=0.6, settings=settings, segments=tuple(segments))


RESAMPLE = """async ({ rate, hz, pieces }) => {
  const { Resampler } = await import("/resampler.js");
  const resampler = new Resampler(rate, 16000);
  const tone = Float32Array.from({ length: rate }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rate));
  const made = [];
  for (let at = 0, k = 0; at < tone.length; k++) {
    const end = at + pieces[k % pieces.length];
    made.push(...resampler.feed(tone.subarray(at, end)));
    at = end;
  }
  return made;
}"""


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_place_and_level_at_16_khz(page: Any, rate: int) -> None:
    made = np.array(page.evaluate(RESAMPLE, {"rate": rate, "hz": 1000, "pieces": [128]}))
    assert 16_000 - 50 < len(made) <= 16_000  # what the filter still waits for: at most 24 / 0.92 samples
    t = np.arange(len(made)) / 16_000
    assert (
        np.abs(made - 0.5 * np.sin(2 * np.pi * 1000 * t))[100:].max() < 1e-3
    )  # the table's linear steps: 60 dB


@pytest.mark.parametrize("hz", [9000, 12_000, 15_000])
def test_what_16_khz_cannot_hold_is_taken_away(page: Any, hz: int) -> None:
    made = np.array(page.evaluate(RESAMPLE, {"rate": 48_000, "hz": hz, "pieces": [128]}))
    assert np.abs(made[200:]).max() < 0.5e-3  # 60 dB under the tone


def test_the_size_of_pieces_changes_no_sample(page: Any) -> None:
    whole = page.evaluate(RESAMPLE, {"rate": 44_100, "hz": 440, "pieces": [44_100]})
    parts = page.evaluate(RESAMPLE, {"rate": 44_100, "hz": 440, "pieces": [1, 128, 7, 1000]})
    assert np.abs(np.array(whole[: len(parts)]) - np.array(parts)).max() < 1e-6


def test_clocks_are_read_as_clocks(page: Any) -> None:
    script = """async () => {
      const { clock } = await import("/dom.js");
      return [clock(7), clock(7.36, 1), clock(754), clock(3723), clock(59.999, 1), clock(0.3, 1)];
    }"""
    assert page.evaluate(script) == ["0:07", "0:07.3", "12:34", "1:02:03", "0:59.9", "0:00.3"]


class _Inline(HTMLParser):
    """Collects what a strict policy refuses, and where things come from."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in named) or "style" in named:
            self.inline.append(tag)
        self.inline += [name for name in named if name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def test_nothing_is_inline_and_nothing_from_elsewhere() -> None:
    parser = _Inline()
    parser.feed((PAGE / "index.html").read_text("utf-8"))
    assert parser.inline == []
    assert parser.addresses
    assert not [address for address in parser.addresses if "//" in address or address.startswith("/")]
    files = sorted(path for path in PAGE.iterdir() if path.suffix in (".js", ".css", ".html"))
    assert len(files) > 10
    for path in files:
        text = re.sub(r"http://www\.w3\.org/2000/svg|http://localhost", "", path.read_text("utf-8"))
        assert not re.search(r"https?://(?!\[)", text), path.name
        assert "innerHTML" not in text
        assert len(text.splitlines()) <= 350, path.name


def test_every_module_and_every_id_is_there() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for path in PAGE.glob("*.js"):
        text = path.read_text("utf-8")
        for name in re.findall(r'from "\./([\w.]+)"', text):
            assert (PAGE / name).is_file(), (path.name, name)
        for name in re.findall(r'byId\("([^"]+)"\)', text):
            assert name in ids, (path.name, name)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
