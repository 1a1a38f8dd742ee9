"""What cannot be reported is refused by name: no run, damaged or foreign files, files that contradict each other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import report_runs
from voxaffect.errors import ArtefactError, CorpusError, ResourceError, UsageError
from voxaffect.records import read_record, records
from voxaffect.report import report, report_file, write_report

DRAWS = 100


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    report_runs.run(folder / "run")
    report_runs.study(folder / "study", counts={"angry": 5, "happy": 5, "neutral": 5, "sad": 5}, n_members=3)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "study", tmp_path / "study"))


def refused(run: Path, message: str, code: str = "damaged_file") -> ArtefactError:
    with pytest.raises(ArtefactError, match=message) as caught:
        report(run, n_bootstrap=DRAWS)
    assert caught.value.code == code
    assert caught.value.where
    return caught.value


def edit(file: Path, change: Callable[[Any], object]) -> None:
    values = json.loads(file.read_text())
    change(values)
    report_runs.write_json(file, values)


def test_a_page_is_written_into_the_run_s_folder_and_nothing_else_is(run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    out = write_report(run, n_bootstrap=DRAWS)
    assert out == run / "report.html"
    assert out.read_text(encoding="utf-8") == report(run, n_bootstrap=DRAWS)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p != out} == before


def test_the_page_of_a_csv_lies_beside_it_under_its_name(run: Path) -> None:
    assert report_file(run / "predictions.csv") == run / "predictions.html"
    assert write_report(run / "predictions.csv", n_bootstrap=DRAWS).is_file()


def test_another_place_can_be_named(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "page.HTM"
    assert write_report(run, out, n_bootstrap=DRAWS) == out and out.is_file()
    assert not (run / "report.html").exists()


def test_a_page_goes_to_no_folder_no_other_format_and_never_over_its_source(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"cannot write a report as 'predictions\.csv'; expected a name ending in"
    ):
        write_report(run, run / "predictions.csv")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        write_report(run, tmp_path / "folder.html")
    source = run / "predictions.html"
    shutil.copy(run / "predictions.csv", source)
    with pytest.raises(UsageError, match="is what the report is about; name another file"):
        write_report(source)


def test_a_disk_that_cannot_be_written_is_said(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot_write: the output cannot be written \(Not a directory"):
        write_report(run, tmp_path / "file" / "page.html", n_bootstrap=DRAWS)


def test_a_folder_without_predictions_is_no_run(tmp_path: Path) -> None:
    assert refused(tmp_path, "the folder holds no predictions.csv", "no_predictions").where == str(tmp_path)
    refused(tmp_path / "nowhere", "no such file or folder", "no_predictions")


def test_predictions_that_cannot_be_read_are_named_with_their_line(run: Path) -> None:
    (run / "predictions.csv").write_text("id,truth,prediction\n1,a,a\n1,b,b\n")
    with pytest.raises(CorpusError, match="line 3: id '1' stands in line 2 already"):
        report(run)
    (run / "predictions.csv").write_text("id,truth,prediction,seed\n1,a,a,0\n2,b,b,1\n")
    with pytest.raises(CorpusError, match="no seed predicts all 2 utterances") as caught:
        report(run)
    assert caught.value.where == str(run / "predictions.csv")


@pytest.mark.parametrize("name", ["recipe.json", "environment.json", "folds.json", "baselines.json"])
def test_a_file_that_is_no_json_is_named(run: Path, name: str) -> None:
    (run / name).write_text('{"half": ')
    refused(run, f"{name} is not JSON: Expecting value")
    (run / name).write_bytes(b"\xff\xfe\x00")
    refused(run, f"{name} is not JSON: ")
    (run / name).write_text("[" * 100_000)
    refused(run, f"{name} is not JSON: ")


@pytest.mark.parametrize("name", ["recipe.json", "environment.json", "baselines.json"])
def test_a_file_of_the_wrong_shape_is_named(run: Path, name: str) -> None:
    (run / name).write_text("[1]")
    refused(run, f"{name} holds list where an object is expected")


def test_a_file_that_cannot_be_opened_is_named(run: Path) -> None:
    with pytest.raises(ArtefactError, match=r"cannot read run: Is a directory"):
        read_record(run)


def test_folds_must_name_their_speakers(run: Path) -> None:
    file = run / "folds.json"
    edit(file, lambda folds: folds[2].pop("dev"))
    refused(run, r"folds\.json lacks 'folds\[2\]\.dev'")
    edit(file, lambda folds: folds[2].update(dev="anna"))
    refused(run, r"'folds\[2\]\.dev' of folds\.json is \"anna\"; expected a list of names")
    edit(file, lambda folds: folds[2].update(dev=[1]))
    refused(run, r"'folds\[2\]\.dev' of folds\.json is \[1\]; expected a list of names")
    edit(file, lambda folds: folds[2].update(dev=[], seed=True))
    refused(run, r"'folds\[2\]\.seed' of folds\.json is true; expected a whole number")
    edit(file, lambda folds: folds[2].update(seed="x" * 99))
    refused(run, r"'folds\[2\]\.seed' of folds\.json is \"x{38}…; expected a whole number")
    file.write_text("{}")
    refused(run, r"folds\.json is no list")
    file.write_text("[3]")
    refused(run, r"folds\.json holds int where an object is expected")


def test_a_recipe_of_another_edition_is_named(run: Path) -> None:
    edit(run / "recipe.json", lambda recipe: recipe.update(colour="blue"))
    refused(run, r"recipe\.json is no recipe of this edition: unknown key 'colour' in \[recipe\]")


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"fold": "f", "epoch": "one"}'])
def test_an_epoch_that_cannot_be_read_is_named_with_its_line(run: Path, line: str) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    refused(run, r"metrics\.jsonl line 17 is no epoch of a training")


@pytest.mark.parametrize(
    ("place", "name", "schema"),
    [
        ("run", "baselines.json", "voxaffect.baselines/1"),
        ("study", "study.json", "voxaffect.study/1"),
        ("study", "cnn/ensemble.json", "voxaffect.ensemble/1"),
    ],
)
def test_a_file_of_an_unknown_schema_is_refused(
    made: Path, tmp_path: Path, place: str, name: str, schema: str
) -> None:
    folder = Path(shutil.copytree(made / place, tmp_path / place))
    edit(folder / name, lambda values: values.update(schema="voxaffect.other/9"))
    error = refused(folder, f"has the schema 'voxaffect.other/9'; expected '{schema}'", "unknown_schema")
    assert error.hint == "another edition of voxaffect wrote it"
    edit(folder / name, lambda values: values.pop("schema"))
    refused(folder, f"has the schema ''; expected '{schema}'", "unknown_schema")


def test_a_study_must_name_its_variants(study: Path) -> None:
    file = study / "study.json"
    edit(file, lambda s: s.update(variants=[]))
    refused(study, r"study\.json names no variants")
    for name in ("../cnn", "", ".", "a/b", "/etc"):
        edit(file, lambda s, name=name: s.update(variants=[name]))  # type: ignore[misc]
        refused(study, f"study.json names the variant '{name}', which is no folder's name")
    edit(file, lambda s: s.update(variants=["cnn", "gone"]))
    refused(study, "no such file or folder", "no_predictions")
    edit(file, lambda s: s.pop("variants"))
    refused(study, r"study\.json lacks 'variants'")


def test_variants_of_unlike_labels_are_no_study(study: Path) -> None:
    other = report_runs.predict({"c/1": 8}, 0.7, labels=("calm", "sad"))
    for file in ("ensemble.json", "metrics.json"):
        (study / "vit" / file).unlink()
    report_runs.write_csv(other, study / "vit" / "predictions.csv")
    refused(study, "the variants of the study have different labels", "files_differ")


def test_an_ensemble_s_files_must_agree(study: Path) -> None:
    vit = study / "vit"
    edit(vit / "ensemble.json", lambda e: e["figures"].update(WA=0.01))
    error = refused(vit, r"ensemble\.json says WA 1\.00 %, predictions\.csv gives [\d.]+ %", "files_differ")
    assert error.hint == "they are not of one run; make the ensemble again"


def test_a_figure_that_is_missing_is_no_agreement(study: Path) -> None:
    vit = study / "vit"
    edit(vit / "ensemble.json", lambda e: e["figures"].update(WA=None))
    refused(vit, r"ensemble\.json says WA nan %", "files_differ")
    edit(vit / "ensemble.json", lambda e: e["figures"].update(WA="high"))
    refused(vit, r"'figures\.WA' of ensemble\.json is \"high\"; expected a number")


def test_members_must_be_there_and_answer_for_the_same_utterances(study: Path) -> None:
    vit = study / "vit"
    member = vit / "members" / "m2.csv"
    text = member.read_text()
    member.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    refused(
        vit,
        "the member 'm2' does not answer for the utterances and labels of predictions.csv",
        "files_differ",
    )
    member.unlink()
    refused(vit, r"ensemble\.json names the member 'm2', but there is no members/m2\.csv")
    edit(vit / "ensemble.json", lambda e: e.update(members=e["members"][:1]))
    refused(vit, r"ensemble\.json names 1 members; a vote needs two or more")


def test_the_gain_must_be_whole(study: Path) -> None:
    vit = study / "vit"
    edit(vit / "ensemble.json", lambda e: e["gain"].pop("UA"))
    refused(vit, r"ensemble\.json lacks 'gain\.UA'")
    edit(vit / "ensemble.json", lambda e: e.update(gain=[]))
    refused(vit, r"'gain' of ensemble\.json is \[\]; expected an object")


def test_records_say_where_they_are(tmp_path: Path) -> None:
    (one,) = records(tmp_path / "x.json", [{"a": [{"b": 1}]}], "")
    (inner,) = one.records("a")
    with pytest.raises(ArtefactError, match=r"'a\[0\]\.b' of x\.json is 1; expected text"):
        inner.text("b")
    with pytest.raises(ArtefactError, match=r"'a' of x\.json is \[\{\"b\": 1\}\]; expected an object"):
        one.record("a")
