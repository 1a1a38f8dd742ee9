"""The command `voxaffect corpus`: what it prints and what it exits with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from corpus_trees import BUILDERS, write_audio
from voxaffect import corpora
from voxaffect.cli import corpus
from voxaffect.errors import CorpusError, UsageError


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    corpus.add_arguments(parser)
    return corpus.run(parser.parse_args([str(a) for a in arguments]))


def test_list_names_every_corpus_with_its_size_and_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    table, *rest = capsys.readouterr().out.split("\n\n")
    lines = table.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(corpora.names())
    rows = {line.split()[0]: line.split(maxsplit=6) for line in lines[1:]}
    assert rows["ravdess"] == ["ravdess", "1440", "24", "8", "en", "fetch", "CC BY-NC-SA 4.0"]
    assert rows["iemocap"][5] == "no"
    assert "by hand" in next(line for line in lines if line.startswith("emodb"))
    assert rest[0].startswith("download: fetch = voxaffect corpus fetch NAME DIR; by hand = ")
    assert len(rest) == 1 + len(corpora.names())
    for name, block in zip(corpora.names(), rest[1:], strict=True):
        info = corpora.get(name).INFO
        assert block.splitlines() == [
            f"{info.title} ({name})",
            f"  from    {info.url or '-'}",
            f"  get it  {info.how_to_get}",
            f"  cite    {info.citation}",
        ]


def test_list_as_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    sheets = {sheet["name"]: sheet for sheet in json.loads(capsys.readouterr().out)}
    assert tuple(sheets) == corpora.names()
    for name, sheet in sheets.items():
        assert sheet == corpora.get(name).INFO.to_dict()
    ravdess = sheets["ravdess"]
    assert (ravdess["utterances"], ravdess["speakers"], ravdess["downloadable"]) == (1440, 24, True)
    assert (ravdess["fetch"], ravdess["why_not_fetched"]) == (True, None)
    assert ravdess["downloads"] == [
        {
            "url": "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1",
            "size": 208_468_073,
            "checksum": "md5:bc696df654c87fed845eb13823edef8a",
            "nested": [],
        }
    ]
    assert sheets["iemocap"]["why_not_fetched"] == "its terms do not let a program download it"


@pytest.mark.parametrize("name", corpora.names())
def test_show_prints_the_data_sheet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", name) == 0
    text = capsys.readouterr().out
    info = corpora.get(name).INFO
    assert text.startswith(f"{name}\n  title       {info.title}\n")
    for part in (info.licence, info.citation, info.how_to_get, *info.notes):
        assert part in text
    assert (f"  fetch       voxaffect corpus fetch {name} DIR\n" in text) == bool(info.downloads)
    assert all(f"  archive     {d.url} (" in text and d.checksum in text for d in info.downloads)
    assert ("  download    not allowed by its terms\n" in text) == (not info.downloadable)
    assert info.why_not_fetched is None or f"  fetch       {info.why_not_fetched}\n" in text


def test_show_of_an_unknown_corpus_is_a_usage_error() -> None:
    with pytest.raises(
        UsageError, match=r"unknown corpus 'emo-db'; expected one of .*; did you mean 'emodb'\?"
    ):
        run("show", "emo-db")


def test_check_prints_the_report_and_exits_0_for_a_sound_subset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BUILDERS["emodb"](tmp_path)
    assert run("check", "emodb", tmp_path) == 0
    assert capsys.readouterr().out == (
        f"EmoDB in {tmp_path}\n"
        "7 of 535 utterances, 4 of 10 speakers, 0:00:00\n"
        "format: 7 files at 16000 Hz, 1 channel\n"
        "\n"
        "class    here  official\n"
        "angry       1       127\n"
        "bored       1        81\n"
        "disgust     1        46\n"
        "fearful     1        69\n"
        "happy       1        71\n"
        "neutral     1        79\n"
        "sad         1        62\n"
        "total       7       535\n"
        "\n"
        "note: The study's table gives 81 for disgust. That is EmoDB's count of boredom; "
        "its disgust count is 46.\n"
        "note: All speakers share ten texts: a text is never unseen, so splits are by speaker.\n"
        "note: In the file names A is fear (Angst), W is anger (Wut) and F is happiness (Freude).\n"
        "verdict: a subset of the official release; what is here is sound\n"
    )


def test_check_exits_4_for_faults_and_0_for_missing_files_that_are_allowed(tmp_path: Path) -> None:
    BUILDERS["nemo"](tmp_path)
    (tmp_path / "samples" / "EB0_fear_1.wav").unlink()
    assert run("check", "nemo", tmp_path) == 4
    assert run("check", "nemo", tmp_path, "--allow-missing") == 0
    (tmp_path / "samples" / "EB0_anger_1.wav").write_bytes(b"")
    assert run("check", "nemo", tmp_path, "--allow-missing") == 4


def test_check_of_another_layout_exits_4(tmp_path: Path) -> None:
    BUILDERS["ravdess"](tmp_path)
    with pytest.raises(
        CorpusError, match=r"does not look like EmoDB \(0 of 4 names match\); closest: RAVDESS \(4\)"
    ) as caught:
        run("check", "emodb", tmp_path)
    assert caught.value.exit_code == 4


def test_check_of_the_real_ravdess(shared_corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "ravdess", shared_corpora / "ravdess") == 0
    captured = capsys.readouterr()
    assert "1440 utterances, 24 speakers" in captured.out
    assert "neutral      96        96\n" in captured.out
    assert captured.err == ""  # no progress where stderr is no terminal


def test_analyse_prints_the_tables_of_all_corpora_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("emodb", "ravdess"):
        BUILDERS[name](tmp_path / name)
    assert run("analyse", "emodb", tmp_path / "emodb", "ravdess", tmp_path / "ravdess") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("class      emodb  ravdess  total\n")
    assert captured.err == ""


def test_analyse_draws_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    BUILDERS["emodb"](tmp_path / "emodb")
    picture = tmp_path / "x.png"
    assert run("analyse", "emodb", tmp_path / "emodb", "--plot", picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().err == f"voxaffect: wrote {picture}\n"


def test_analyse_writes_a_page_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    BUILDERS["emodb"](tmp_path / "emodb")
    page = tmp_path / "x.html"
    assert run("analyse", "emodb", tmp_path / "emodb", "--html", page) == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    captured = capsys.readouterr()
    assert captured.err == f"voxaffect: wrote {page}\n"
    assert captured.out.endswith("The tables here show what the files hold.\n")


def test_analyse_says_how_many_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "wav" / "03a01Fa.wav")
    (tmp_path / "wav" / "03a01Wa.wav").write_bytes(b"")
    with pytest.raises(
        CorpusError, match=r"missing_files: 1 of 2 files of EmoDB are absent or empty: 03a01Wa\.wav"
    ):
        run("analyse", "emodb", tmp_path)
    assert run("analyse", "emodb", tmp_path, "--allow-missing") == 0
    assert capsys.readouterr().err == "voxaffect: emodb: 1 utterance left out: file missing or empty\n"


def test_analyse_wants_pairs_and_a_known_picture_format(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="odd_arguments: 1 arguments; expected a NAME and a ROOT for each corpus"
    ):
        run("analyse", "emodb")
    with pytest.raises(UsageError, match=r"plot_format: cannot draw to 'x\.gif'"):
        run("analyse", "emodb", tmp_path, "--plot", "x.gif")
    with pytest.raises(UsageError, match=r"page_format: cannot write a page to 'x\.txt'"):
        run("analyse", "emodb", tmp_path, "--html", "x.txt")


def test_progress_overwrites_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    corpus._progress(1, 2)
    corpus._progress(2, 2)
    assert capsys.readouterr().err == "\r1 of 2 files\r2 of 2 files\n"


def test_an_action_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "ACTION" in capsys.readouterr().err
