"""Subtitles, tiers, turns, labels and Parquet, read back by programs of others."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_formats import plain, results, written
from test_track import LABELS, result_of, window
from voxaffect import formats
from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.result import Result
from voxaffect.track import Piece, caption, tracks

NAMES = [
    "customer",
    "Ärztin 医生",
    'say "hi"',
    "<b>&co",
    "a\tb\nc",
    "two  words",
    "50%",
    "--> x",
    "]]>",
    "a:b",
]
TIMELINES = ("srt", "vtt", "textgrid", "eaf", "rttm", "audacity")


def call(name: str = "customer") -> Result:
    """Two channels that speak at once, overlapping windows, one of them uncertain, a pause."""
    return result_of(
        window(0, 3, "angry", 0.9, role=name),
        window(1, 4, "sad", 0.4, role=name, uncertain=True),
        window(6, 9, "sad", 0.8, role=name),
        window(2, 5, "happy", 0.75, channel=1),
        channels="split",
    )


def ours(result: Result) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """The tracks as readers should find them."""
    return [(t.name, [(p.start, p.end, p.label) for p in t.pieces]) for t in tracks(result)]


def escaped(name: str) -> str:
    return name.replace("\t", "\\t").replace("\n", "\\n")


@pytest.mark.parametrize("name", NAMES)
def test_srt_is_read_back_by_srt(name: str) -> None:
    import srt

    text = written("srt", [call(name)])
    found = [(s.start.total_seconds(), s.end.total_seconds(), s.content) for s in srt.parse(text)]
    first = escaped(name)
    assert found == [
        (0.0, 2.0, f"{first}: angry 90%"),
        (2.0, 4.0, f"{first}: sad 40% (uncertain)"),
        (2.0, 5.0, "channel 1: happy 75%"),
        (6.0, 9.0, f"{first}: sad 80%"),
    ]
    assert [s.index for s in srt.parse(text)] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", NAMES)
def test_vtt_is_read_back_by_webvtt(name: str) -> None:
    import html

    import webvtt

    read = webvtt.from_string(written("vtt", [call(name)]))
    found = [(c.start, c.end, html.unescape(c.voice), html.unescape(c.text)) for c in read]
    first = escaped(name)
    assert found == [
        ("00:00:00.000", "00:00:02.000", first, "angry 90%"),
        ("00:00:02.000", "00:00:04.000", first, "sad 40% (uncertain)"),
        ("00:00:02.000", "00:00:05.000", "channel 1", "happy 75%"),
        ("00:00:06.000", "00:00:09.000", first, "sad 80%"),
    ]


def test_vtt_says_why_there_is_nothing() -> None:
    silent = results()[1]
    assert written("vtt", [silent]) == (
        "WEBVTT\n\nNOTE perceived emotion in silence.wav, by level 1.0\n\n"
        "NOTE no_speech: loudest -71 dBFS; check the microphone, or use --no-vad\n\n"
    )


def read_textgrid(text: str, folder: Path) -> Any:
    from praatio import textgrid

    path = folder / "x.TextGrid"
    path.write_text(text, "utf-8")
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")


@pytest.mark.parametrize("name", NAMES)
def test_textgrid_is_read_back_by_praatio(name: str, tmp_path: Path) -> None:
    grid = read_textgrid(written("textgrid", [call(name)]), tmp_path)
    first = escaped(name)
    assert grid.tierNames == (first, f"{first} score", "channel 1", "channel 1 score")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 10)
    assert [tuple(entry) for entry in grid.getTier(first).entries] == [
        (0, 2, "angry"),
        (2, 4, "sad?"),
        (4, 6, ""),
        (6, 9, "sad"),
        (9, 10, ""),
    ]
    assert [entry.label for entry in grid.getTier(f"{first} score").entries] == ["0.9", "0.4", "", "0.8", ""]


def test_quotes_in_a_textgrid_are_doubled() -> None:
    assert 'name = "say ""hi"""\n' in written("textgrid", [call('say "hi"')])


def test_silence_is_one_empty_interval(tmp_path: Path) -> None:
    grid = read_textgrid(written("textgrid", [results()[1]]), tmp_path)
    assert [tuple(entry) for entry in grid.getTier("emotion").entries] == [(0, 5, "")]
    nothing = Result(id="x", reason="too_short")
    grid = read_textgrid(written("textgrid", [nothing]), tmp_path)
    assert grid.maxTimestamp == 0.001  # Praat wants some time


def read_eaf(text: str, folder: Path) -> Any:
    import pympi

    path = folder / "x.eaf"
    path.write_text(text, "utf-8")
    return pympi.Elan.Eaf(path)


@pytest.mark.parametrize("name", NAMES)
def test_eaf_is_read_back_by_pympi(name: str, tmp_path: Path) -> None:
    eaf = read_eaf(written("eaf", [call(name)]), tmp_path)
    first = escaped(name)
    assert list(eaf.get_tier_names()) == [
        *(first, f"score@{first}", f"certainty@{first}"),
        *("channel 1", "score@channel 1", "certainty@channel 1"),
    ]
    assert sorted(eaf.get_annotation_data_for_tier(first)) == [
        (0, 2000, "angry"),
        (2000, 4000, "sad"),
        (6000, 9000, "sad"),
    ]
    assert [row[:3] for row in sorted(eaf.get_ref_annotation_data_for_tier(f"score@{first}"))] == [
        (0, 2000, "0.9"),
        (2000, 4000, "0.4"),
        (6000, 9000, "0.8"),
    ]
    assert [row[:3] for row in eaf.get_ref_annotation_data_for_tier(f"certainty@{first}")] == [
        (2000, 4000, "uncertain")
    ]
    assert eaf.tiers[first][2]["PARTICIPANT"] == first
    assert [entry[0][0][0] for entry in eaf.controlled_vocabularies["emotion"][1].values()] == list(
        call().model.labels  # type: ignore[union-attr]
    )


def test_an_eaf_keeps_the_order_of_its_schema_and_refers_to_what_is_there() -> None:
    root = ElementTree.fromstring(written("eaf", [call()]).encode("utf-8"))
    order = list(dict.fromkeys(child.tag for child in root))
    assert order == [
        *("HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"),
        *("LANGUAGE", "CONSTRAINT", "CONTROLLED_VOCABULARY"),
    ]
    slots = [int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")]
    assert slots == sorted(slots)
    known = {slot.get("TIME_SLOT_ID") for slot in root.iter("TIME_SLOT")}
    used = [a.get(f"TIME_SLOT_REF{i}") for a in root.iter("ALIGNABLE_ANNOTATION") for i in (1, 2)]
    assert (len(used), set(used)) == (len(known), known)
    ids = [a.get("ANNOTATION_ID") for tag in ("ALIGNABLE", "REF") for a in root.iter(f"{tag}_ANNOTATION")]
    assert len(set(ids)) == len(ids) == 4 + 4 + 1


@pytest.mark.parametrize("name", ["call.wav", "über uns/Größe #1.wav", "100%.mp4", "not-utf8-\udcff.wav"])
def test_an_eaf_finds_its_recording(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = ElementTree.fromstring(written("eaf", [replace(call(), id=name, path=name)]).encode("utf-8"))
    (media,) = root.iter("MEDIA_DESCRIPTOR")
    path = unquote(urlsplit(media.get("MEDIA_URL", "")).path, errors="surrogateescape")
    assert Path(path) == tmp_path / name
    relative = unquote(media.get("RELATIVE_MEDIA_URL", ""), errors="surrogateescape")
    assert relative == f"./{Path(name).name}"
    assert media.get("MIME_TYPE") == ("video/mp4" if name.endswith("mp4") else "audio/x-wav")


def test_an_eaf_of_samples_or_silence_says_so(tmp_path: Path) -> None:
    samples = replace(call(), id="array:0", path=None)
    assert "MEDIA_DESCRIPTOR" not in written("eaf", [samples])
    eaf = read_eaf(written("eaf", [results()[1]]), tmp_path)
    assert ("voxaffect:reason", "no_speech") in eaf.properties
    assert eaf.get_annotation_data_for_tier("emotion") == []


def test_roles_that_would_meet_in_an_eaf_get_tiers_of_their_own(tmp_path: Path) -> None:
    both = result_of(window(0, 1, role="a"), window(0, 1, channel=1, role="score@a"), channels="split")
    names = list(read_eaf(written("eaf", [both]), tmp_path).get_tier_names())
    assert len(set(names)) == len(names) == 6


def read_rttm(text: str) -> list[tuple[str, str, float, float, str, float]]:
    """A plain reader: ten fields with white space between."""
    turns = []
    for line in text.splitlines():
        kind, file, channel, start, duration, _, _, name, score, _ = line.split()
        assert kind == "SPEAKER"
        turns.append((unquote(file), channel, float(start), float(duration), unquote(name), float(score)))
    return turns


@pytest.mark.parametrize("name", NAMES)
def test_rttm_is_read_back(name: str) -> None:
    odd = replace(call(name), id="two words 100%.wav")
    first = escaped(name)
    assert read_rttm(written("rttm", [odd, results()[2], plain()])) == [
        ("two words 100%.wav", "1", 0.0, 2.0, f"{first}:angry", 0.9),
        ("two words 100%.wav", "1", 2.0, 2.0, f"{first}:sad", 0.4),
        ("two words 100%.wav", "1", 6.0, 3.0, f"{first}:sad", 0.8),
        ("two words 100%.wav", "2", 2.0, 3.0, "channel 1:happy", 0.75),
        ("a.wav", "1", 0.0, 1.25, "happy", 0.75),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_audacity_labels_are_read_back(name: str) -> None:
    lines = [line.split("\t") for line in written("audacity", [call(name)]).splitlines()]
    assert [(float(start), float(end), text) for start, end, text in lines][:2] == [
        (0.0, 2.0, f"{escaped(name)}: angry 90%"),
        (2.0, 4.0, f"{escaped(name)}: sad 40% (uncertain)"),
    ]
    assert len(lines) == 4


@pytest.mark.parametrize("format_name", TIMELINES)
def test_windows_of_no_time_and_times_below_zero_are_harmless(format_name: str) -> None:
    odd = result_of(window(2, 2, "sad"), window(3, 1, "sad"), window(-5, -4, "sad"), window(-1, 1, "happy"))
    text = written(format_name, [odd])
    assert "happy" in text
    assert "-1" not in text.replace("1-1 association", "").replace("-->", "")
    assert ">sad 50" not in text.replace("CVE_VALUE", "")
    assert tracks(odd)[0].pieces == (Piece(0.0, 1.0, "happy", 0.5, False),)


@pytest.mark.parametrize("format_name", [name for name in TIMELINES if name != "rttm"])
def test_a_timeline_is_of_one_recording_and_of_no_failure(format_name: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"several_recordings: a timeline is of one recording; b\.wav is a second; write a file for each",
    ):
        written(format_name, [plain(name="a.wav"), plain(name="b.wav")])
    failed = results()[2]
    assert written(format_name, [failed, plain()]) == written(format_name, [plain()])
    path = tmp_path / f"x{formats.get(format_name).EXTENSION}"
    with pytest.raises(VoxaffectError, match=r"empty_file: empty\.wav holds no audio"):
        failed.save(path)
    assert not path.exists()


@pytest.mark.parametrize("format_name", TIMELINES)
def test_a_recording_below_the_threshold_keeps_its_segments(format_name: str) -> None:
    unsure = replace(call(), label=None, score=None, agreement=None, reason="low_confidence", uncertain=True)
    assert "happy" in written(format_name, [unsure])


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".TextGrid", ".textgrid", ".eaf", ".rttm", ".labels.txt"])
def test_a_result_is_saved_by_its_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"call é{suffix}"
    call().save(path)
    assert path.read_text("utf-8") == written(
        {".labels.txt": "audacity"}.get(suffix, suffix[1:].lower()), [call()]
    )


def test_an_unknown_suffix_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"no format has files that end in '\.mp3'; expected one of \['\.Te"):
        call().save("x.mp3")


# --- what any timeline must survive ---

texts = st.text(st.characters(exclude_categories=()), min_size=1, max_size=12)
moments = st.integers(-100, 8000).map(lambda ms: ms / 1000)
timelines = st.builds(
    lambda segments, role: result_of(*(replace(s, role=role) for s in segments), channels="split"),
    st.lists(
        st.builds(
            window, moments, moments, st.sampled_from(LABELS), st.floats(0, 1), uncertain=st.booleans()
        ),
        min_size=1,
        max_size=6,
    ),
    texts,
)


@given(timelines)
@settings(max_examples=60, deadline=None)
def test_any_timeline_comes_back(result: Result) -> None:
    import srt

    (track,) = tracks(result)
    subtitles = list(srt.parse(written("srt", [result])))
    assert [s.content.strip() for s in subtitles] == [caption(track, p).strip() for p in track.pieces]
    assert [s.end.total_seconds() for s in subtitles] == [p.end for p in track.pieces]
    found = [(start, start + length) for _, _, start, length, _, _ in read_rttm(written("rttm", [result]))]
    assert found == [pytest.approx((p.start, p.end)) for p in track.pieces]
    root = ElementTree.fromstring(written("eaf", [result]).encode("utf-8"))
    values = [a.findtext("ANNOTATION_VALUE") for a in root.iter("ALIGNABLE_ANNOTATION")]
    assert values == [p.label for p in track.pieces]


@given(timelines)
@settings(max_examples=40, deadline=None)
def test_any_textgrid_is_whole(tmp_path_factory: pytest.TempPathFactory, result: Result) -> None:
    (track,) = tracks(result)
    grid = read_textgrid(written("textgrid", [result]), tmp_path_factory.getbasetemp())
    entries = grid.getTier(grid.tierNames[0]).entries
    found = [(e.start, e.end, e.label) for e in entries if e.label]
    assert found == [(p.start, p.end, p.label + "?" * p.uncertain) for p in track.pieces]
    edges = [edge for e in entries for edge in (e.start, e.end)]
    assert edges[1:-1:2] == edges[2::2]  # no gap
    assert (edges[0], edges[-1]) == (0, 10)


# --- tables ---


def read_parquet(some: Sequence[Result]) -> list[dict[str, Any]]:
    import pyarrow.parquet

    stream = io.BytesIO()
    formats.get("parquet").write(some, stream)
    return pyarrow.parquet.read_table(io.BytesIO(stream.getvalue())).to_pylist()  # type: ignore[no-any-return]


def test_parquet_holds_the_rows_of_csv_with_types_and_failures() -> None:
    rows = read_parquet(results())
    assert [(r["row"], r["file"], r["label"], r["error"]) for r in rows] == [
        ("file", "call.wav", "neutral", None),
        ("segment", "call.wav", "angry", None),
        ("file", "silence.wav", None, None),
        ("file", "empty.wav", None, "empty_file"),
    ]
    assert (rows[1]["start"], rows[1]["channel"], rows[1]["uncertain"]) == (0.42, 0, False)
    assert (rows[1]["flags"], rows[3]["flags"], rows[1]["agreement"]) == (["narrowband"], [], 0.8571)
    assert (rows[2]["reason"], rows[2]["prob_sad"]) == ("no_speech", None)
    header = written("csv", results()).splitlines()[0].split(",")
    assert list(rows[0]) == header


def test_parquet_keeps_names_and_comes_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxaffect.formats import parquet

    assert read_parquet([]) == []
    assert read_parquet([plain(name="=é\n\udcff.wav")])[0]["file"] == "=é\n\\udcff.wav"
    monkeypatch.setattr(parquet, "GROUP_ROWS", 3)
    assert [r["file"] for r in read_parquet([plain(name=f"{i}.wav") for i in range(7)])] == [
        f"{i}.wav" for i in range(7)
    ]
    with pytest.raises(ValueError, match="has labels"):
        read_parquet([plain(), plain(("angry", "calm"), "b.wav")])


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # audformat's own, of newest pandas
def test_the_csv_is_an_audformat_table(tmp_path: Path) -> None:
    import audformat
    import pandas as pd

    formats.save([*results(), replace(plain(), model=results()[0].model)], tmp_path / "x.csv")
    frame = audformat.utils.read_csv(tmp_path / "x.csv")
    assert audformat.is_segmented_index(frame)
    segments = frame[frame["row"] == "segment"]
    assert list(segments.index) == [("call.wav", pd.Timedelta("0.42s"), pd.Timedelta("3.42s"))]
    assert frame.loc["empty.wav"]["error"].tolist() == ["empty_file"]
    table = audformat.Table(segments.index)
    table["emotion"] = audformat.Column()
    table["emotion"].set(segments["label"].to_numpy())
    assert table.df["emotion"].tolist() == ["angry"]
