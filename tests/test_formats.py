"""Every format, found by walking the package: whole, in order, streaming; then each one's own promises."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from test_result import make_result
from voxaffect import formats
from voxaffect.audio import Notice, Source
from voxaffect.errors import ResourceError, UsageError
from voxaffect.result import ChannelSummary, Failure, ModelInfo, Result


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def results() -> list[Result]:
    """One of each kind: a label, an abstention, a failure."""
    labelled = make_result()
    silent = Result(
        id="silence.wav",
        path="silence.wav",
        source=Source("silence.wav", "wav", "pcm_s16le", 16_000, 1, 5.0),
        model=labelled.model,
        reason="no_speech",
        warnings=(Notice("no_speech", "loudest -71 dBFS; check the microphone, or use --no-vad"),),
    )
    failed = Result(
        id="empty.wav",
        path="empty.wav",
        model=labelled.model,
        error=Failure(
            "empty_file", "empty.wav holds no audio (0 bytes)", "was it stopped early?", "empty.wav"
        ),
    )
    return [labelled, silent, failed]


def written(name: str, some: list[Result]) -> str:
    stream = io.StringIO()
    formats.get(name).write(some, stream)
    return stream.getvalue()


def plain(labels: tuple[str, ...] = ("happy", "sad"), name: str = "a.wav") -> Result:
    """A short labelled result without segments."""
    return Result(
        id=name,
        path=name,
        source=Source(name, "wav", "pcm_s16le", 16_000, 1, 1.25),
        model=ModelInfo("level", "1", "0" * 64, labels, 1, "majority", "CC0"),
        label=labels[0],
        score=0.75,
        probs={labels[0]: 0.75, labels[1]: 0.25},
        votes={labels[0]: 1},
        agreement=1.0,
    )


def holding(*kinds: str) -> list[str]:
    """The names of the text formats that hold one of `kinds`."""
    modules = {name: formats.get(name) for name in formats.names()}
    return [name for name, module in modules.items() if module.HOLDS in kinds and not module.BINARY]


@pytest.mark.parametrize("name", formats.names())
def test_every_format_says_what_it_is(name: str) -> None:
    chosen = formats.get(name)
    assert chosen.SUMMARY
    assert chosen.EXTENSION.startswith(".")
    assert chosen.HOLDS in ("results", "timelines", "timeline")
    assert formats.by_extension(f"x{chosen.EXTENSION.upper()}") is chosen


def test_no_two_formats_share_an_extension() -> None:
    extensions = [formats.get(name).EXTENSION.lower() for name in formats.names()]
    assert len(set(extensions)) == len(extensions)


@pytest.mark.parametrize("name", holding("results"))
def test_every_format_of_results_keeps_its_contract(name: str, tmp_path: Path) -> None:
    chosen = formats.get(name)
    text = written(name, results())
    places = [text.index(each) for each in ("call.wav", "silence.wav", "empty.wav")]
    assert places == sorted(places)
    assert text.endswith("\n")
    written(name, [])
    formats.save(results(), tmp_path / f"all{chosen.EXTENSION}")
    assert (tmp_path / f"all{chosen.EXTENSION}").read_text("utf-8") == text


@pytest.mark.parametrize("name", holding("results", "timelines"))
def test_every_format_writes_a_result_before_it_takes_the_third(name: str) -> None:
    stream = io.StringIO()

    def coming() -> Iterator[Result]:
        yield plain(name="first.wav")
        yield plain(name="second.wav")
        yield plain(name="third.wav")
        assert "second.wav" in stream.getvalue()
        yield plain(name="fourth.wav")

    formats.get(name).write(coming(), stream)
    assert "fourth.wav" in stream.getvalue()


@pytest.mark.parametrize("name", holding("results", "timelines", "timeline"))
def test_no_format_prints_what_moves_the_cursor_or_cannot_be_encoded(name: str) -> None:
    evil = "\x1b[2J\u202eevil\udcff"
    channel = ChannelSummary(0, "happy", 0.75, 1.0, {}, evil)
    segment = replace(make_result().segments[0], role=evil, label=evil)
    odd = replace(plain(name=f"{evil}.wav"), segments=(segment,), summary=(channel,))
    text = written(name, [odd] if formats.get(name).HOLDS == "timeline" else [odd, plain(name="b.wav")])
    assert "evil" in text
    text.encode("utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_unknown_formats_are_named() -> None:
    with pytest.raises(
        UsageError, match=r"unknown_format: unknown format 'yaml'; expected some of \['audacity', 'csv'"
    ):
        formats.get("yaml")


def test_json_is_an_object_for_one_result_and_an_array_for_more() -> None:
    one = json.loads(written("json", results()[:1]))
    assert one["label"] == "neutral"
    assert [r["id"] for r in json.loads(written("json", results()))] == [
        "call.wav",
        "silence.wav",
        "empty.wav",
    ]
    assert len(json.loads(written("json", results()[:2]))) == 2
    assert json.loads(written("json", [])) == []


def test_json_of_a_long_recording_is_never_held_as_one_text() -> None:
    segment = make_result().segments[0]
    long = replace(make_result(), segments=(segment,) * 500)

    class Counting(io.StringIO):
        longest = 0

        def write(self, text: str) -> int:
            self.longest = max(self.longest, len(text))
            return super().write(text)

        def writelines(self, lines: Iterable[str]) -> None:
            for line in lines:
                self.write(line)

    stream = Counting()
    formats.get("json").write([long], stream)
    assert json.loads(stream.getvalue()) == formats.rounded(long.to_dict())
    assert stream.longest < 100 < len(stream.getvalue())


def test_json_lines_hold_the_whole_result_rounded_and_the_exact_name() -> None:
    odd = replace(make_result(), id="=cmd\n\udcff.wav", score=0.123456789)
    (line,) = written("jsonl", [odd]).splitlines()
    data = json.loads(line)
    assert data["id"] == "=cmd\n\udcff.wav"
    assert data["score"] == 0.1235
    assert odd.score == 0.123456789
    assert Result.from_dict(data).segments[0].label == "angry"
    assert line.isascii()


def test_csv_has_a_row_for_each_recording_and_each_segment() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", results()))))
    assert [(r["row"], r["file"], r["label"]) for r in rows] == [
        ("file", "call.wav", "neutral"),
        ("segment", "call.wav", "angry"),
        ("file", "silence.wav", ""),
        ("file", "empty.wav", ""),
    ]
    assert rows[0]["prob_neutral"] == "0.61"
    assert (rows[1]["start"], rows[1]["end"], rows[1]["flags"]) == ("0.42", "3.42", "narrowband")
    assert (rows[2]["reason"], rows[2]["message"][:16]) == ("no_speech", "loudest -71 dBFS")
    assert (rows[3]["error"], rows[3]["message"]) == ("empty_file", "empty.wav holds no audio (0 bytes)")


def test_csv_leaves_out_the_only_segment_of_a_recording_that_is_all_of_it() -> None:
    segment = replace(make_result().segments[0], start=0.0, end=183.42)
    rows = list(csv.DictReader(io.StringIO(written("csv", [replace(make_result(), segments=(segment,))]))))
    assert [(r["row"], r["start"], r["end"]) for r in rows] == [("file", "0", "183.42")]


@pytest.mark.parametrize(
    ("start", "cell"),
    [("=", "'="), ("+", "'+"), ("-", "'-"), ("@", "'@"), ("\t", "\\t"), ("\r", "\\r"), ("\n", "\\n")],
)
def test_csv_cells_are_one_line_and_never_formulas(start: str, cell: str) -> None:
    text = written("csv", [plain(name=f"{start}cmd|' /C calc'!A0.wav")])
    assert len(text.splitlines()) == 2
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["file"] == f"{cell}cmd|' /C calc'!A0.wav"


def test_csv_refuses_results_of_models_with_other_labels() -> None:
    with pytest.raises(
        ValueError, match=r"'b\.wav' has labels \['angry', 'calm'\]; the first result has \['happy'"
    ):
        written("csv", [plain(), plain(("angry", "calm"), "b.wav")])


def test_the_table_reads_well() -> None:
    whole = replace(make_result(), votes={"neutral": 5, "angry": 2})
    assert written("table", [whole, *results()[1:], plain()]).splitlines() == [
        "label      score            votes      length  file",
        "neutral    ██████░░░░ 0.61  5 of 7       3:03  call.wav  (narrowband)",
        "no speech                               5.0 s  silence.wav  "
        "(loudest -71 dBFS; check the microphone, or use --no-vad)",
        "failed     empty_file                          empty.wav",
        "happy      ████████░░ 0.75              1.2 s  a.wav",
    ]


def test_the_table_shows_the_course_of_a_longer_recording() -> None:
    base = make_result().segments[0]
    segments = tuple(
        replace(base, start=float(t), end=t + 3.0, label=label, probs={label: 0.9})
        for t, label in ((0, "angry"), (1, "angry"), (2, "sad"), (7, "neutral"))
    )
    result = replace(
        make_result(), segments=segments, source=Source("call.wav", "wav", "pcm_mulaw", 8000, 1, 10.0)
    )
    strip = written("table", [result]).splitlines()[2]
    assert strip == "  customer aaaas··nnn  n neutral 61%, a angry 20%, s sad 14%, h happy 5%"


def test_the_table_shows_no_course_where_nothing_changes() -> None:
    base = replace(make_result().segments[0], label="angry")
    channel = replace(make_result().summary[0], label="angry")
    segments = tuple(replace(base, start=float(t), end=t + 3.0) for t in range(8))
    source = Source("call.wav", "wav", "pcm_mulaw", 8000, 1, 10.0)
    whole = replace(make_result(), segments=segments, summary=(channel,), source=source)
    assert len(written("table", [whole]).splitlines()) == 2
    assert len(written("table", [replace(whole, segments=segments[:5])]).splitlines()) == 3  # silence behind
    both = replace(whole, summary=(channel, replace(channel, channel=1)))
    assert len(written("table", [both]).splitlines()) == 4


def test_the_table_says_how_much_is_missing_and_puts_the_reason_last() -> None:
    cut = replace(plain(), warnings=(Notice("truncated", "2.6 s of 5.0 s"), Notice("dc", "off centre")))
    assert "a.wav  (truncated: 2.6 s of 5.0 s, dc)\n" in written("table", [cut])
    silent = results()[1]
    faulty = replace(silent, warnings=(*silent.warnings, Notice("dc", "off centre")))
    assert "(dc, loudest -71 dBFS; check the microphone, or use --no-vad)\n" in written("table", [faulty])


def test_the_table_gives_short_lengths_in_hundredths() -> None:
    short = replace(plain(), source=Source("a.wav", "wav", "pcm_s16le", 16_000, 1, 0.05))
    assert " 0.05 s  a.wav" in written("table", [short])


def test_csv_writes_a_number_one_way_only() -> None:
    row = written("csv", [replace(plain(), score=0.00012, agreement=1.0)]).splitlines()[1]
    assert row == "a.wav,0,1.25,file,,,happy,0.0001,1,false,,,,,0.75,0.25"


def test_letters_of_labels_differ() -> None:
    from voxaffect.formats.table import _letters

    letters = _letters(("sad", "surprised", "disgust", "fearful", "aaa", "aa"))
    assert letters["sad"] == "s"
    assert letters["surprised"] == "u"
    assert len(set(letters.values())) == 6


def test_colour_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    formats.get("table").write([plain()], terminal)
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in written("table", [plain()])
    monkeypatch.setenv("NO_COLOR", "1")
    sober = Terminal()
    formats.get("table").write([plain()], sober)
    assert "\x1b[" not in sober.getvalue()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot_write: the output cannot be written \(No such file"):
        formats.save([plain()], tmp_path / "none" / "a.json")
