"""`voxaffect evaluate` and `voxaffect score` print the figures of runs and of anyone's predictions."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from voxaffect.cli import add_common_arguments, evaluate, score
from voxaffect.errors import ArtefactError, CorpusError, UsageError

CSV = """id,truth,prediction,speaker,gender,prob_angry,prob_sad
c/1,angry,angry,c/a,female,0.9,0.1
c/2,sad,sad,c/a,female,0.2,0.8
c/3,angry,sad,c/b,male,0.4,0.6
c/4,sad,sad,c/b,male,0.3,0.7
d/5,angry,angry,d/c,,0.8,0.2
d/6,sad,sad,d/c,,0.1,0.9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cnn", "vit"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.csv").write_text(CSV)
    return tmp_path


def call(*words: str | Path, command: object = evaluate) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    add_common_arguments(parser)
    return int(command.run(parser.parse_args([str(w) for w in words])))  # type: ignore[attr-defined]


def test_a_run_s_figures_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder / "cnn") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder / 'cnn'}\n  6 utterances of c, d; 3 speakers, 2 classes, 1 seed\n")
    assert "  UA         83.3" in out


def test_several_runs_follow_each_other_and_a_file_does_as_well_as_its_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(folder / "cnn")
    one = capsys.readouterr().out
    call(folder / "cnn", folder / "vit" / "predictions.csv")
    both = capsys.readouterr().out
    assert both == one + "\n" + one.replace(str(folder / "cnn"), str(folder / "vit" / "predictions.csv"))


def test_json_is_one_object_for_each_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", folder / "cnn", folder / "vit") == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(o["run"]).name for o in objects] == ["cnn", "vit"]
    assert objects[0]["measures"]["WA"]["value"] == pytest.approx(5 / 6)


def test_groups_come_from_a_column_or_the_corpus(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("--json", "--groups", "gender", folder / "cnn")
    assert [g["name"] for g in json.loads(capsys.readouterr().out)["groups"]] == ["(none)", "female", "male"]
    call("--json", "--groups", "corpus", folder / "cnn")
    assert [g["name"] for g in json.loads(capsys.readouterr().out)["groups"]] == ["c", "d"]
    with pytest.raises(CorpusError, match="no column 'age'"):
        call("--groups", "age", folder / "cnn")


def test_the_picture_has_a_panel_for_each_run(folder: Path) -> None:
    assert call("--plot", folder / "both.png", folder / "cnn", folder / "vit") == 0
    assert (folder / "both.png").read_bytes().startswith(b"\x89PNG")


def test_confidence_has_figures_of_its_own_and_a_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--plot-confidence", folder / "c.svg", folder / "cnn", folder / "vit") == 0
    out = capsys.readouterr().out
    assert out.count("  UA gained at 80 %") == 2
    assert "  surest, % of answers      100     90     80     70     60     50\n" in out
    assert (folder / "c.svg").read_bytes().startswith(b"<?xml")
    call("--json", folder / "cnn")
    assert json.loads(capsys.readouterr().out)["certainty"]["ece"]["n_clusters"] == 3


def test_without_probabilities_confidence_is_not_spoken_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.csv").write_text("id,truth,prediction\n1,ang,ang\n2,sad,ang\n3,sad,sad\n")
    assert call(tmp_path / "theirs.csv") == 0
    assert "confidence" not in capsys.readouterr().out
    call("--json", tmp_path / "theirs.csv")
    assert json.loads(capsys.readouterr().out)["certainty"] is None
    with pytest.raises(UsageError, match="its predictions came without probabilities") as caught:
        call("--plot-confidence", tmp_path / "c.png", tmp_path / "theirs.csv")
    assert (caught.value.code, caught.value.where) == ("no_probabilities", str(tmp_path / "theirs.csv"))


def test_runs_of_unlike_labels_share_no_picture(folder: Path) -> None:
    (folder / "vit" / "predictions.csv").write_text(CSV.replace("angry", "happy"))
    with pytest.raises(UsageError, match="one picture needs one set of labels"):
        call("--plot", folder / "both.png", folder / "cnn", folder / "vit")


def test_anyone_s_predictions_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs.csv").write_text("id;truth;prediction\n1;ang;ang\n2;sad;ang\n3;sad;sad\n")
    assert call(tmp_path / "theirs.csv", command=score) == 0
    out = capsys.readouterr().out
    assert "  UA         75.0" in out
    assert "note: speakers are unknown" in out


RICH = """id,truth,prediction,speaker,fold,text,duration
c/1,angry,angry,c/a,f1,Go!,1.0
c/2,sad,sad,c/a,f1,Stay,3.0
c/3,angry,sad,c/b,f2,go,1.1
c/4,sad,sad,c/b,f2,stay.,2.9
"""


def test_standard_input_is_scored_as_a_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-16"))))

    theirs = tmp_path / "theirs.csv"
    theirs.write_text(RICH)
    assert call("--groups", "text", theirs, command=score) == 0
    wanted = capsys.readouterr().out
    given(RICH)
    assert call("--groups", "text", "-", command=score) == 0
    assert capsys.readouterr().out == wanted.replace(str(theirs), "-")
    given(RICH.replace("sad,sad,c/b", "sad,,c/b"))
    with pytest.raises(CorpusError, match="stdin line 5: the column 'prediction' is empty") as caught:
        call("-", command=score)
    assert caught.value.where == "-"
    given("id,truth,prediction\n")
    with pytest.raises(CorpusError) as caught:
        call("-", command=score)
    assert caught.value.message == "stdin has a header but no rows"


def test_columns_of_anyone_s_predictions_make_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.csv").write_text(RICH)
    assert call(tmp_path / "theirs.csv", command=score) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.split("\n")]
    for name in ("text", "duration"):  # both give the class away, and so beat this model
        assert [name, "100.0", "100.0", "100.0"] in rows
    assert "note: not shown to beat what needs no audio, UA by text (100.0), duration (100.0)" in out
    (tmp_path / "theirs.csv").write_text(RICH.replace("3.0", "long"))
    with pytest.raises(CorpusError, match="line 3: duration is 'long'") as caught:
        call(tmp_path / "theirs.csv", command=score)
    assert caught.value.where == str(tmp_path / "theirs.csv")


def test_groups_come_from_the_run_s_utterances_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{line.split(',')[0]},sad,{i % 2}" for i, line in enumerate(CSV.splitlines()[1:])]
    (folder / "cnn" / "utterances.csv").write_text("\n".join(["id,label,take", *rows]))
    call("--json", "--groups", "take", folder / "cnn")
    assert [g["name"] for g in json.loads(capsys.readouterr().out)["groups"]] == ["0", "1"]
    with pytest.raises(CorpusError, match="no column 'age'"):
        call("--groups", "age", folder / "cnn")


def test_a_run_whose_corpora_are_away_is_evaluated_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "cnn"
    fold = {"seed": 0, "name": "", "train": ["c/x"], "dev": [], "test": ["c/a", "c/b", "d/c"]}
    (run / "folds.json").write_text(json.dumps([fold]))
    recipe = {"name": "old", "data": {"corpora": ["emodb"]}, "folder": str(folder)}
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert call(run) == 0
    said = capsys.readouterr()
    assert "  UA         83.3" in said.out
    assert said.err.startswith(
        f"voxaffect: {run}: corpus_absent: no baselines without audio, since the corpora"
    )
    assert call(run, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_optimistic_figures_are_stamped_in_text_and_picture(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "theirs.csv").write_text(RICH.replace(",f1", ",OPTIMISTIC validation-on-test: f1"))
    titles: list[str] = []

    def record(panels: list[tuple[str, object]], labels: object) -> None:
        titles.extend(title for title, _ in panels)

    monkeypatch.setattr("voxaffect.plots.confusion_figure", record)
    monkeypatch.setattr("voxaffect.plots.save", lambda figure, path: None)
    assert call("--plot", folder / "x.png", folder / "theirs.csv", folder / "cnn", command=score) == 0
    assert titles == ["theirs OPTIMISTIC (validation-on-test)", "cnn"]
    first, second = capsys.readouterr().out.split("\n\n" + str(folder / "cnn"))
    assert first.startswith(f"{folder / 'theirs.csv'} OPTIMISTIC (validation-on-test)\n")
    assert "OPTIMISTIC" not in second


def test_what_cannot_be_evaluated_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ArtefactError, match="the folder holds no predictions") as caught:
        call(folder / "cnn", folder / "empty")
    assert caught.value.where == str(folder / "empty")
    assert caught.value.hint and "voxaffect train" in caught.value.hint
    assert capsys.readouterr().out == ""  # nothing is printed before all runs are known to be good
    (folder / "cnn" / "predictions.csv").write_text("id,truth,prediction,seed\n1,a,a,0\n2,b,b,1\n")
    with pytest.raises(CorpusError, match="no seed predicts all 2 utterances") as other:
        call(folder / "cnn")
    assert other.value.where == str(folder / "cnn")
    with pytest.raises(UsageError, match="--bootstrap is 5; an interval needs at least 100 draws"):
        call("--bootstrap", "5", folder / "vit")
