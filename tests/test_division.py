"""Folds are read from a run, a recipe or anyone's table, and tables that contradict themselves are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import training_corpus
from experiments import SPEAKERS, predictions, write_run
from voxaffect.division import Clip, FoldRows, _of_table, from_csv, read_division
from voxaffect.errors import ArtefactError, CorpusError, UsageError
from voxaffect.table import Utterance, UtteranceTable


def sheet(folder: Path, text: str) -> Path:
    file = folder / "folds.csv"
    file.write_text(text)
    return file


def parts(fold: FoldRows) -> dict[str, list[int]]:
    return {name: list(rows) for name, rows in fold.parts.items()}


def test_a_table_says_who_has_which_part_of_which_fold(tmp_path: Path) -> None:
    d = from_csv(
        sheet(
            tmp_path,
            "id;fold;split;speaker;path;start;end\n"
            "1;a;Train;x;1.wav;;\n2;a;val;y;2.wav;;\n3;a;test;z;3.wav;0,5;2\n"
            "1;b;test;x;1.wav;;\n2;b;training;y;2.wav;;\n3;b;development;z;3.wav;0,5;2\n",
        )
    )
    assert d.utterances.ids == ("1", "2", "3")
    assert d.utterances.column("speaker") == ("x", "y", "z")
    assert [(f.name, f.seed, parts(f)) for f in d.folds] == [
        ("a", None, {"train": [0], "dev": [1], "test": [2]}),
        ("b", None, {"train": [1], "dev": [2], "test": [0]}),
    ]
    assert d.clips == (
        Clip(tmp_path / "1.wav"),
        Clip(tmp_path / "2.wav"),
        Clip(tmp_path / "3.wav", 0.5, 2.0),
    )
    assert d.no_audio == ""


def test_without_folds_there_is_one(tmp_path: Path) -> None:
    (fold,) = from_csv(sheet(tmp_path, "id,split\n1,train\n2,eval\n")).folds
    assert (fold.name, parts(fold)) == ("", {"train": [0], "dev": [], "test": [1]})


def test_without_splits_each_fold_tests_its_own(tmp_path: Path) -> None:
    d = from_csv(sheet(tmp_path, "id,fold,seed\n1,a,1\n2,a,1\n3,b,1\n1,c,2\n2,d,2\n"))
    assert [(f.name, f.seed, parts(f)) for f in d.folds] == [
        ("a", 1, {"train": [2], "dev": [], "test": [0, 1]}),
        ("b", 1, {"train": [0, 1], "dev": [], "test": [2]}),
        ("c", 2, {"train": [1], "dev": [], "test": [0]}),
        ("d", 2, {"train": [0], "dev": [], "test": [1]}),
    ]
    assert d.no_audio == "no column 'path'"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("id,speaker\n1,x\n", "missing_column", "no column 'split' or 'fold'"),
        ("id,split\n1,learn\n", "unknown_split", r"line 2: split is 'learn'; expected one of \['dev', "),
        ("id,split\n1,train\n1,train\n", "duplicate_id", "line 3: id '1' stands in the train part in line 2"),
        ("id,fold\n1,a\n1,b\n", "duplicate_id", "line 3: id '1' is tested in line 2 already"),
        ("id,split\n1,\n", "empty_cell", "line 2: the column 'split' is empty"),
        ("id,fold\n1,\n", "empty_cell", "line 2: the column 'fold' is empty"),
        (
            "id,split,speaker\n1,train,x\n1,test,y\n",
            "contradiction",
            "line 3: '1' has speaker 'y' here and 'x' in line 2",
        ),
        ("id,split,path,start\n1,train,1.wav,soon\n", "bad_times", "start is 'soon'; expected seconds"),
    ],
)
def test_wrong_tables_are_refused_by_line(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as caught:
        from_csv(sheet(tmp_path, text))
    assert caught.value.code == code


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    training_corpus.build(folder / "clips", clips=1)
    (folder / "tiny.toml").write_text(training_corpus.RECIPE, encoding="utf-8")
    return folder / "tiny.toml"


def test_a_recipe_s_folds_are_planned_without_training(recipe: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`")
    d = read_division(recipe)
    assert d.source == str(recipe)
    assert len(d.folds) == 2
    speakers = d.utterances.column("speaker")
    for fold in d.folds:
        groups = [{speakers[i] for i in fold.parts[part]} for part in ("train", "dev", "test")]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 6
    assert all(clip is not None and clip.path.is_file() for clip in d.clips)


def test_a_corpus_of_features_has_no_recordings(tmp_path: Path) -> None:
    stored = Utterance("c/1", tmp_path / "features.pickle", "c/x", "sad", "c")
    heard = Utterance("c/2", tmp_path / "a.FLAC", "c/y", "sad", "c")
    d = _of_table("x", UtteranceTable((stored, heard)), ())
    assert d.clips == (None, Clip(tmp_path / "a.FLAC"))


def test_a_run_s_folds_come_with_its_own_utterances_where_the_corpora_are_away(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", predictions(n=1))
    with pytest.raises(
        CorpusError, match=r"has no utterances\.csv, and its corpora cannot be read"
    ) as caught:
        read_division(run)
    assert caught.value.code == "nothing_known"
    rows = [f"c/{i},{s},sad" for i, s in enumerate((*SPEAKERS, "c/7", "c/8"))]
    (run / "utterances.csv").write_text("\n".join(["id,speaker,label", *rows]))
    d = read_division(run)
    assert [parts(f) for f in d.folds] == [{"train": [7], "dev": [6], "test": [0, 1, 2, 3, 4, 5]}]
    assert d.no_audio == "the corpora are not here"


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is no run folder"):
        read_division(tmp_path)
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "x", "data": {"corpora": ["emodb"]}}))
    with pytest.raises(CorpusError, match=r"has no folds\.json"):
        read_division(tmp_path)
    with pytest.raises(UsageError, match="no recipe at"):
        read_division(tmp_path / "gone.toml")
    with pytest.raises(CorpusError, match="cannot read"):
        read_division(tmp_path / "gone.csv")
