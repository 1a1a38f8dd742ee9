"""One contract for every corpus reader, and the corpora that are really here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import corpus_trees
from corpus_trees import Tree, write_audio, write_text
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora.check import check
from voxaffect.corpora.files import (
    audio_header,
    check_whole,
    content_digest,
    find,
    locate,
    media_files,
    one_of_each,
    read_text,
)
from voxaffect.corpora.info import CorpusInfo
from voxaffect.errors import AudioError, CorpusError, ExitCode, UsageError
from voxaffect.labels import EMOTIONS

BUILDERS = corpus_trees.BUILDERS | OPEN_BUILDERS
NAMES = corpora.names()
OFFICIAL = [name for name in NAMES if corpora.get(name).INFO.expected]
RECORDED = [name for name in NAMES if not hasattr(corpora.get(name), "segments")]
"""The corpora of recordings; the others hold features."""


@pytest.fixture(params=NAMES)
def any_tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Tree]]:
    yield request.param, BUILDERS[request.param](tmp_path / "data")


@pytest.fixture(params=RECORDED)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Tree]]:
    yield request.param, BUILDERS[request.param](tmp_path / "data")


def sheet(name: str) -> str:
    """The docstring of the corpus' module."""
    return importlib.import_module(f"voxaffect.corpora.{name.replace('-', '_')}").__doc__ or ""


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(root.rglob("*"))}


# --- the contract, for every reader


def test_every_corpus_has_a_tree_to_test_with() -> None:
    assert tuple(sorted(BUILDERS)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_data_sheet_is_whole(name: str) -> None:
    info = corpora.get(name).INFO
    doc = sheet(name)
    assert info.name == name
    assert set(info.labels) <= set(EMOTIONS)
    assert info.licence and info.citation and info.how_to_get and info.language
    assert "Licence " in doc
    assert "Traps " in doc or name == "folder"


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_figures_of_the_docstring_are_those_of_the_info(name: str) -> None:
    info = corpora.get(name).INFO
    doc = sheet(name)
    assert info.title in doc
    assert str(info.n_utterances) in doc
    assert all(str(n) in doc for n in info.expected.values())


def test_a_tree_is_read_as_it_was_built(any_tree: tuple[str, Tree]) -> None:
    name, built = any_tree
    table = corpora.read(name, built.root)
    assert len(table) == built.n_utterances
    assert table.speakers == built.speakers
    assert table.labels == built.labels
    assert set(table.labels) <= set(corpora.get(name).INFO.labels)
    assert list(table.ids) == sorted(table.ids)
    assert all(u.path.is_file() for u in table)


def test_reading_and_checking_write_nothing_into_the_corpus(any_tree: tuple[str, Tree]) -> None:
    name, built = any_tree
    before = state(built.root)
    corpora.read(name, built.root)
    check(name, built.root)
    assert state(built.root) == before


def test_file_names_of_the_corpus_match_its_pattern(any_tree: tuple[str, Tree]) -> None:
    name, built = any_tree
    info = corpora.get(name).INFO
    matched = [info.matches(u.path.stem) for u in corpora.read(name, built.root)]
    assert all(matched) if info.file_pattern else not any(matched)
    assert bool(info.file_pattern) != bool(info.layout)


def test_upper_case_extensions_and_flac_are_read_alike(tree: tuple[str, Tree]) -> None:
    name, built = tree
    before = corpora.read(name, built.root).ids
    files = [u.path for u in corpora.read(name, built.root)]
    files[0].rename(files[0].with_suffix(".WAV"))
    write_audio(files[-1].with_suffix(".flac"))
    files[-1].unlink()
    assert corpora.read(name, built.root).ids == before


def test_a_sound_tree_checks_as_sound(any_tree: tuple[str, Tree]) -> None:
    name, built = any_tree
    report = check(name, built.root)
    assert report.sound() and report.exit_code() == ExitCode.OK
    assert ("subset of the official release" in report.text()) == bool(report.info.expected)
    assert len(report.table) == built.n_utterances


def test_zero_bytes_are_named_excluded_and_counted(tree: tuple[str, Tree]) -> None:
    name, built = tree
    victim = corpora.read(name, built.root)[0]
    victim.path.write_bytes(b"")
    with pytest.raises(
        CorpusError, match=rf"1 of {built.n_utterances} files of .* are absent or empty: {victim.path.name}"
    ):
        corpora.read(name, built.root)
    assert victim.id not in corpora.read(name, built.root, allow_missing=True).ids
    report = check(name, built.root)
    assert report.unreadable == (f"{victim.path.name} holds no audio (0 bytes)",)
    assert len(report.table) == built.n_utterances - 1
    assert report.exit_code() == report.exit_code(allow_missing=True) == ExitCode.NOTHING_USABLE
    assert "unreadable or cut short, not counted: 1" in report.text()


def test_a_header_without_samples_and_text_are_named_with_their_reason(tree: tuple[str, Tree]) -> None:
    name, built = tree
    first, last = (corpora.read(name, built.root)[i].path for i in (0, -1))
    write_audio(first, seconds=0.0)
    last.write_text("<html>404</html>")
    assert check(name, built.root).unreadable == (
        f"{first.name} holds no audio (a header without samples)",
        f"{last.name} is not audio (it is an HTML page)",
    )


def test_recordings_that_are_cut_short_are_named_excluded_and_counted(tmp_path: Path) -> None:
    built = BUILDERS["emodb"](tmp_path)
    victim = corpora.read("emodb", built.root)[0]
    data = victim.path.read_bytes()
    seconds = audio_header(victim.path).duration
    victim.path.write_bytes(data[: len(data) // 2])
    report = check("emodb", built.root)
    assert report.unreadable == (f"{victim.path.name} is cut short: {seconds / 2:.1f} s of {seconds:.1f} s",)
    assert victim.id not in report.table.ids
    assert report.exit_code() == report.exit_code(allow_missing=True) == ExitCode.NOTHING_USABLE
    assert "unreadable or cut short, not counted: 1" in report.text()


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3", "AIFF"])
def test_a_recording_without_a_size_to_go_by_is_decoded_to_its_end(form: str, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / f"x.{form.lower()}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 48_000), 16_000, format=form)
    check_whole(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=rf"truncated: {path.name} is cut short: ") as caught:
        check_whole(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_extra_file_is_named_and_can_be_allowed(name: str, tmp_path: Path) -> None:
    built = BUILDERS[name](tmp_path)
    write_audio(built.root / "extra" / "stray.wav")
    report = check(name, built.root)
    assert report.extra == (str(Path("extra") / "stray.wav"),)
    assert report.exit_code() == ExitCode.NOTHING_USABLE
    assert report.exit_code(allow_missing=True) == ExitCode.OK
    assert "files are missing or unknown (--allow-missing accepts that)" in report.text()


def test_the_same_audio_under_two_speakers_is_a_contradiction(tree: tuple[str, Tree]) -> None:
    name, built = tree
    table = corpora.read(name, built.root)
    other = next(u for u in table if u.speaker != table[0].speaker)
    other.path.write_bytes(table[0].path.read_bytes())
    report = check(name, built.root)
    assert report.conflicts == (
        f"{table[0].id} = {other.id}: the same audio under different labels or speakers",
    )
    assert not report.sound(allow_missing=True)
    assert "verdict: not usable as it is" in report.text()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_another_corpus_is_named(name: str, tmp_path: Path) -> None:
    other = "emodb" if name != "emodb" else "ravdess"
    built = BUILDERS[other](tmp_path / "data")
    title, other_title = (corpora.get(n).INFO.title for n in (name, other))
    n = built.n_utterances
    with pytest.raises(CorpusError) as caught:
        corpora.read(name, built.root)
    assert caught.value.code == "corpus_layout"
    assert caught.value.exit_code == ExitCode.NOTHING_USABLE
    layout = corpora.get(name).INFO.layout
    wrong = f"does not hold {layout}" if layout else f"does not look like {title} (0 of {n} names match)"
    assert caught.value.message == f"{built.root} {wrong}; closest: {other_title} ({n})"
    assert caught.value.hint == f"use the name {other!r}"


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_and_no_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus_layout: .*it holds no audio files"):
        corpora.read(name, tmp_path)
    with pytest.raises(CorpusError, match=r"no_such_folder: .*absent does not exist; give the folder"):
        corpora.read(name, tmp_path / "absent")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no_such_folder: .*x\.wav is not a folder"):
        corpora.read("emodb", write_audio(tmp_path / "x.wav"))


def test_an_unknown_corpus_is_answered_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        corpora.get("ravdes")
    assert caught.value.message == f"unknown corpus 'ravdes'; expected one of {list(NAMES)}"
    assert caught.value.hint == "did you mean 'ravdess'?"
    with pytest.raises(UsageError, match="for a corpus of your own, use 'folder'"):
        corpora.get("zzzz")


def test_helper_modules_are_no_corpora() -> None:
    assert not {"files", "check", "sheet", "info", "text"} & set(NAMES)
    with pytest.raises(UsageError, match="unknown corpus 'check'"):
        corpora.get("check")


# --- check


def test_missing_listed_files_are_counted_and_the_first_ten_named(tmp_path: Path) -> None:
    rows = "".join(f"{i:02d}.wav,angry,ann\n" for i in range(13))
    write_text(tmp_path / "list.csv", "path,label,speaker\n" + rows)
    write_audio(tmp_path / "12.wav")
    report = check("folder", tmp_path)
    assert len(report.missing) == 12
    text = report.text()
    assert "listed, but not there: 12" in text and "there is no file 00.wav" in text
    assert "09.wav" in text and "10.wav" not in text and "… and 2 more" in text
    assert report.exit_code() == ExitCode.NOTHING_USABLE
    assert report.exit_code(allow_missing=True) == ExitCode.OK


def test_mixed_rates_and_channels_are_stated(tmp_path: Path) -> None:
    built = BUILDERS["ravdess"](tmp_path)
    write_audio(corpora.read("ravdess", tmp_path)[0].path, sample_rate=8000, channels=2)
    report = check("ravdess", built.root)
    assert report.formats == {"48000 Hz, 1 channel": 3, "8000 Hz, 2 channels": 1}
    assert "format: 3 files at 48000 Hz, 1 channel; 1 file at 8000 Hz, 2 channels" in report.text()


def test_identical_takes_of_one_speaker_and_label_are_a_note(tmp_path: Path) -> None:
    one = write_audio(tmp_path / "wav" / "03a01Fa.wav")
    (tmp_path / "wav" / "03a01Fb.wav").write_bytes(one.read_bytes())
    report = check("emodb", tmp_path)
    assert report.sound()
    assert report.repeats == ("emodb/03a01Fa = emodb/03a01Fb: the same audio, one speaker and label",)


def test_a_pair_that_the_release_itself_repeats_is_a_note_that_says_so(tmp_path: Path) -> None:
    one = write_audio(tmp_path / "Actor_07" / "03-01-03-01-02-01-07.wav")
    one.with_stem("03-01-03-01-02-02-07").write_bytes(one.read_bytes())
    report = check("ravdess", tmp_path)
    assert report.sound()
    assert [note.rpartition(": ")[2] for note in report.repeats] == [
        "the same audio, in the official release too"
    ]
    assert "note: 1 repeat\n  ravdess/03-01-03-01-02-01-07 = " in report.text()


def test_a_corpus_that_changes_while_it_is_checked_is_not_reported_on(tmp_path: Path) -> None:
    built = BUILDERS["emodb"](tmp_path)
    last = corpora.read("emodb", built.root)[-1].path

    def delete_at_the_end(done: int, total: int) -> None:
        if done == total:
            last.unlink()

    with pytest.raises(CorpusError, match=rf"corpus_changed: .*{last.name} changed while .* being checked"):
        check("emodb", built.root, progress=delete_at_the_end)


def test_more_than_the_official_release_is_not_the_release(tmp_path: Path) -> None:
    for i in range(3):
        write_audio(tmp_path / "wav" / f"03a01E{'abc'[i]}.wav")
    report = check("emodb", tmp_path)
    few = CorpusInfo(**{**vars(report.info), "expected": {**report.info.expected, "disgust": 2}})
    report = type(report)(**{**vars(report), "info": few})
    assert report.surplus == ("disgust: 3 here, 2 official",)
    assert not report.sound()


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    built = BUILDERS["emodb"](tmp_path)
    seen: list[tuple[int, int]] = []
    check("emodb", built.root, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 7) for i in range(7)]


# --- data sheets and files


def a_sheet(**changes: object) -> CorpusInfo:
    words = dict.fromkeys(
        ("name", "title", "licence", "licence_url", "citation", "language", "url", "how_to_get"), "x"
    )
    values: dict[str, object] = {**words, "labels": ("angry", "sad"), "downloadable": False}
    return CorpusInfo(**{**values, **changes})  # type: ignore[arg-type]


def test_a_data_sheet_refuses_unknown_labels_and_uncounted_ones() -> None:
    with pytest.raises(ValueError, match="labels of 'x' must be known and in alphabetical order"):
        a_sheet(labels=("sad", "angry"))
    with pytest.raises(ValueError, match="labels of 'x' must be known"):
        a_sheet(labels=("angry", "hangry"))
    with pytest.raises(
        ValueError, match=r"expected of 'x' must count each of \('angry', 'sad'\), in that order"
    ):
        a_sheet(expected={"angry": 3})
    with pytest.raises(ValueError, match=r"optional of 'x' must count some of \('angry', 'sad'\)"):
        a_sheet(optional={"calm": 1}, expected={"angry": 3, "sad": 4})
    assert a_sheet().n_utterances is None
    assert a_sheet(expected={"angry": 3, "sad": 4}).n_utterances == 7


def test_decomposed_file_names_give_composed_ids(tmp_path: Path) -> None:
    write_audio(tmp_path / "angry" / "Zoe\u0308" / "gru\u0308n.wav")
    (utterance,) = corpora.read("folder", tmp_path)
    assert utterance.id.endswith("/angry/Zo\u00eb/gr\u00fcn")
    assert utterance.speaker.endswith("/Zo\u00eb")


def test_a_written_path_finds_its_file_in_either_normal_form_and_with_backslashes(tmp_path: Path) -> None:
    file = write_audio(tmp_path / "a" / "gru\u0308n.wav")
    assert locate(tmp_path, "a/gr\u00fcn.wav") == file
    assert locate(tmp_path, "a\\gru\u0308n.wav") == file
    assert locate(tmp_path, "a\\none.wav") == tmp_path / "a" / "none.wav"


def test_a_name_is_found_in_any_case_the_least_deep_first_and_not_beyond_the_depth(tmp_path: Path) -> None:
    deep = write_text(tmp_path / "a" / "b" / "c" / "Table.csv", "x")
    assert find(tmp_path, "table.CSV") == deep
    assert find(tmp_path, "table.csv", depth=2) is None
    shallow = write_text(tmp_path / "z" / "table.csv", "x")
    assert find(tmp_path, "table.csv") == shallow
    assert find(tmp_path, "b") == tmp_path / "a" / "b"
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert find(tmp_path, "nowhere") is None


def test_of_several_files_of_a_name_the_wav_and_the_least_deep_is_taken(tmp_path: Path) -> None:
    names = ("b/x.flac", "x.mp3", "deep/er/x.WAV", "deep/x.wav", "y.flac", "copy/y.flac")
    chosen = one_of_each(tmp_path / name for name in names)
    assert chosen == [tmp_path / "deep" / "x.wav", tmp_path / "y.flac"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_every_usual_encoding(encoding: str, tmp_path: Path) -> None:
    assert read_text(write_text(tmp_path / "t.txt", "müde\r\nfroh", encoding)) == "müde\r\nfroh"


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"unreadable_text: .* holds NUL characters; save it as UTF-8 text"):
        read_text(write_text(tmp_path / "t.txt", "a,b", "utf-16-le"))
    with pytest.raises(CorpusError, match=r"unreadable_text: cannot read .*t\.csv: No such file"):
        read_text(tmp_path / "t.csv")


def test_an_unreadable_folder_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"unreadable_folder: cannot list .*absent: No such file"):
        list(media_files(tmp_path / "absent"))


def test_links_to_folders_are_not_followed_in_circles(tmp_path: Path) -> None:
    file = write_audio(tmp_path / "a" / "x.wav")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert list(media_files(tmp_path)) == [file]


def test_headers_give_rate_channels_and_duration(tmp_path: Path) -> None:
    header = audio_header(write_audio(tmp_path / "x.wav", seconds=0.25, sample_rate=8000, channels=2))
    assert (header.sample_rate, header.channels, header.duration) == (8000, 2, 0.25)


def test_a_container_that_libsndfile_cannot_read_has_a_header_too(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "x.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        for i in range(16):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, i * 1000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    header = audio_header(path)
    assert (header.sample_rate, header.channels) == (16_000, 1)
    assert header.duration == pytest.approx(1.0, abs=0.15)  # AAC pads to whole frames of 64 ms


def test_a_playlist_is_not_audio_and_opens_no_other_file(tmp_path: Path) -> None:
    other = write_audio(tmp_path / "other.wav")
    text = f"ffconcat version 1.0\nfile '{other.name}'\n"
    with pytest.raises(AudioError, match=r"not_audio: list\.wav is not audio \(it is a playlist\)"):
        audio_header(write_text(tmp_path / "list.wav", text))


def test_a_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    assert content_digest(write_text(tmp_path / "abc", "abc")) == known


# --- the real ones


@pytest.mark.parametrize(
    ("name", "n", "speakers", "counts"),
    [
        ("ravdess", 1440, 24, dict(corpora.get("ravdess").INFO.expected)),
        ("emodb", 339, 10, {"angry": 127, "happy": 71, "neutral": 79, "sad": 62}),
        (
            "nemo",
            1782,
            7,
            {"angry": 299, "fearful": 287, "happy": 300, "neutral": 315, "sad": 315, "surprised": 266},
        ),
    ],
)
def test_the_real_corpora_hold_what_they_should(
    shared_corpora: Path, name: str, n: int, speakers: int, counts: dict[str, int]
) -> None:
    table = corpora.read(name, shared_corpora / name)
    assert (len(table), len(table.speakers)) == (n, speakers)
    assert table.counts(lambda u: u.label) == counts


def test_ravdess_checks_as_complete_with_its_known_pair(shared_corpora: Path) -> None:
    report = check("ravdess", shared_corpora / "ravdess")
    assert report.complete and report.sound()
    assert report.repeats == (
        "ravdess/03-01-03-01-02-01-07 = ravdess/03-01-03-01-02-02-07: "
        "the same audio, in the official release too",
    )
    assert "1440 utterances, 24 speakers, 1:28:49" in report.text()
    assert "verdict: complete" in report.text()


@pytest.mark.parametrize("name", ["emodb", "ravdess"])
def test_untouched_originals_are_sound(shared_corpora: Path, name: str) -> None:
    report = check(name, shared_corpora / "originals" / name)
    assert report.sound() and not report.complete
