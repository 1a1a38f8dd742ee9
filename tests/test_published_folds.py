"""Anyone's predictions are held against folds that others publish."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments import predictions
from voxaffect.cli import main
from voxaffect.errors import CorpusError, ExitCode, UsageError
from voxaffect.predictions import Predictions, concat, write_csv
from voxaffect.published_folds import check_published_folds
from voxaffect.splits import NAMED_FOLDS

NAME = "ravdess-emobox"


def published(seed: int = 1, corpus: str = "ravdess/") -> Predictions:
    """One utterance of each actor, in the published fold."""
    folds = [(f, s) for f, speakers in NAMED_FOLDS[NAME].items() for s in speakers]
    speakers = [corpus + s.partition("/")[2] for _, s in folds]
    return predictions(speakers=speakers, n=1, folds=tuple(f for f, _ in folds), seeds=(seed,) * len(folds))


def test_predictions_on_the_published_folds_pass() -> None:
    said = "ravdess-emobox: all 6 folds, each speaker tested in the published one"
    assert check_published_folds(published(), NAME) == said
    assert check_published_folds(concat([published(), published(2)]), NAME) == said


def test_names_of_folds_and_speakers_may_be_others() -> None:
    p = published(corpus="")
    renamed = replace(p, folds=tuple(f"Fold {f[1]}" for f in p.folds))
    plain = replace(renamed, speakers=tuple(s.lstrip("0") for s in renamed.speakers))
    assert check_published_folds(plain, NAME).startswith(NAME)


def test_two_speakers_who_change_places_are_noticed() -> None:
    p = published()
    speakers = list(p.speakers)
    speakers[0], speakers[4] = speakers[4], speakers[0]
    with pytest.raises(
        CorpusError, match=r"fold 'f1' tests \['11', '20', '21', '4'\]; the closest of .*, f1,"
    ):
        check_published_folds(replace(p, speakers=tuple(speakers)), NAME)


def test_what_is_missing_is_noticed() -> None:
    p = concat([published(), published(2).select(range(20))])
    with pytest.raises(CorpusError, match=r"also tests \['13', '17', '22', '6'\]; seed 2 has no prediction"):
        check_published_folds(p, NAME)
    with pytest.raises(CorpusError, match="needed is a column speaker"):
        check_published_folds(replace(published(), speakers=("",) * 24), NAME)
    with pytest.raises(CorpusError, match="needed is a column fold"):
        check_published_folds(replace(published(), folds=("",) * 24), NAME)
    with pytest.raises(UsageError, match=r"unknown folds 'ravdess'; expected one of \['ravdess-emobox'"):
        check_published_folds(published(), "ravdess")


def test_optimistic_folds_are_no_published_ones() -> None:
    p = published()
    stamped = replace(p, folds=tuple(f"OPTIMISTIC validation-on-test: {f}" for f in p.folds))
    with pytest.raises(
        CorpusError, match=r"is none of ravdess-emobox: it is OPTIMISTIC \(validation-on-test\)"
    ):
        check_published_folds(stamped, NAME)


def test_the_command_says_so_on_stderr_or_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    write_csv(published(), good)
    write_csv(predictions(), bad)
    assert main(["score", str(good), "--folds", NAME]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == f"{good}: ravdess-emobox: all 6 folds, each speaker tested in the published one\n"
    assert "UA" in said.out
    assert main(["score", str(good), "--folds", NAME, "--quiet"]) == ExitCode.OK
    assert capsys.readouterr().err == ""
    assert main(["score", str(good), str(bad), "--folds", NAME]) == ExitCode.NOTHING_USABLE
    said = capsys.readouterr()
    assert said.out == ""
    assert f"voxaffect: error: {bad}: folds_differ: fold 'f1' tests " in said.err
