"""Which utterances a recipe trains on: label sets, filters, and copies of a corpus that are not the release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iemocap_tree import build_iemocap, build_iemocap_pickle
from voxaffect import corpora
from voxaffect.corpora.info import CorpusInfo
from voxaffect.errors import CorpusError, ExitCode, UsageError
from voxaffect.recipe import Recipe, read_recipe, recipe_from_json, recipe_to_json
from voxaffect.table import Utterance, UtteranceTable
from voxaffect.train import read_table

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_iemocap(tmp_path_factory.mktemp("data") / "iemocap")


def recipe(root: Path, *lines: str, corpus: str = "iemocap") -> Recipe:
    path = root.parent / "r.toml"
    text = [f'name = "r"\n[data]\ncorpora = ["{corpus}"]\nroots = {{{corpus} = "{root.name}"}}', *lines]
    path.write_text("\n".join(text), encoding="utf-8")
    return read_recipe(path)


def utterance(name: str, **changes: object) -> Utterance:
    values = {"id": f"x/{name}", "path": Path(name), "speaker": "x/s", "label": "sad", "corpus": "x"}
    return Utterance(**{**values, **changes})  # type: ignore[arg-type]


def test_merged_and_unmerged_sets_of_iemocap(tree: Path) -> None:
    merged = read_table(recipe(tree, 'mapping = "excited-is-happy"'), quiet=True)
    assert merged.counts(lambda u: u.label) == {"angry": 20, "happy": 40, "neutral": 20, "sad": 20}
    unmerged = read_table(recipe(tree), quiet=True)
    assert unmerged.counts(lambda u: u.label) == {"angry": 20, "happy": 20, "neutral": 20, "sad": 20}
    ten = json.dumps([label for label in corpora.get("iemocap").INFO.labels if label != "unknown"])
    with pytest.raises(
        CorpusError, match=r"absent_label: .* labelled \['disgust', 'fearful', 'other', 'surprised'\]"
    ):
        read_table(recipe(tree, f"labels = {ten}"), quiet=True)


@pytest.mark.parametrize("style", ["improvised", "scripted"])
def test_a_filter_keeps_what_has_the_value(style: str, tree: Path) -> None:
    table = read_table(
        recipe(tree, 'mapping = "excited-is-happy"', f'where = {{style = "{style}"}}'), quiet=True
    )
    assert len(table) == 50
    assert {u.attributes["style"] for u in table} == {style}


def test_filters_go_together_and_take_lists_and_numbers(tree: Path) -> None:
    where = 'where = {session = ["Ses01", "Ses05"], gender = "female", valence = [2, 1.5]}'
    table = read_table(recipe(tree, 'labels = ["angry", "sad"]', where), quiet=True)
    assert table.speakers == ("iemocap/Ses01F", "iemocap/Ses05F")
    assert table.counts(lambda u: u.label) == {"angry": 4, "sad": 4}


def test_what_lacks_the_property_is_left_out() -> None:
    table = UtteranceTable(
        (utterance("a", attributes={"style": "loud"}), utterance("b"), utterance("c", take="1"))
    )
    assert table.matching({"style": "loud"}).ids == ("x/a",)
    assert table.matching({}) == table
    assert table[0].properties == {"style": "loud", "corpus": "x", "speaker": "x/s"}


def test_unknown_properties_and_values_are_answered_with_the_known(tree: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_table(recipe(tree, 'where = {stile = "improvised"}'), quiet=True)
    assert caught.value.code == "unknown_property"
    assert caught.value.message == (
        "no utterance has a property 'stile'; expected some of ['activation', 'corpus', 'dialogue', 'dialogue_end', "
        "'dialogue_start', 'dominance', 'gender', 'language', 'scenario', 'session', 'speaker', 'style', 'text', "
        "'valence']"
    )
    with pytest.raises(
        UsageError, match=r"no_match: no utterance has style = 'loud'; expected some of \['impro"
    ):
        read_table(recipe(tree, 'where = {style = ["improvised", "loud"]}'), quiet=True)
    with pytest.raises(UsageError, match=r"no_match: no utterance has text = 'x'; .*\] and \d+ more"):
        read_table(recipe(tree, 'where = {text = "x"}'), quiet=True)


@pytest.mark.parametrize("value", ["true", "[]", "{a = 1}", "[[1]]"])
def test_a_filter_of_another_form_is_refused(value: str, tree: Path) -> None:
    with pytest.raises(UsageError, match=r"where\.style must be a text, a number or a list of them, got"):
        recipe(tree, f"where = {{style = {value}}}")


def test_a_filter_decides_the_digest_and_survives_the_run_folder(tree: Path) -> None:
    plain, filtered = recipe(tree), recipe(tree, 'where = {style = ["improvised"]}')
    assert plain.digest != filtered.digest
    assert recipe_from_json(recipe_to_json(filtered)) == filtered
    assert recipe_from_json(recipe_to_json(filtered)).digest == filtered.digest


@pytest.mark.parametrize("run", ["emodb-whisper", "bundled"])
def test_recipes_of_earlier_runs_keep_their_digest(run: str) -> None:
    text = (ROOT / "results" / run / "recipe.json").read_text(encoding="utf-8")
    assert recipe_from_json(text).digest == json.loads(text)["digest"]


# --- copies that are not the release


def test_a_copy_that_differs_is_told_in_one_line_and_trained_on(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(read_table(recipe(tree, 'mapping = "excited-is-happy"'))) == 100
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "voxaffect: warning: this copy of IEMOCAP is not what the official release (in brackets) holds: "
        "utterances 120 (10039), angry 20 (1103), disgust 0 (2), excited 20 (1041), fearful 0 (40), "
        f"frustrated 10 (1849), and 21 more figures; see: voxaffect corpus check iemocap {tree}\n"
    )
    read_table(recipe(tree), quiet=True)
    assert capsys.readouterr().err == ""


def test_a_recipe_can_refuse_a_copy_that_differs(tree: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read_table(recipe(tree, "complete = true"))
    assert caught.value.code == "incomplete_corpus"
    assert caught.value.exit_code == ExitCode.NOTHING_USABLE
    assert caught.value.message.startswith("this copy of IEMOCAP is not what the official release")
    assert caught.value.hint == "to train on it all the same: --set data.complete=false"
    assert caught.value.where == str(tree)


def test_the_official_release_does_not_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    table = UtteranceTable((utterance("a"), utterance("b", label="angry", speaker="x/t")))
    values = dict.fromkeys(
        ("title", "licence", "licence_url", "citation", "language", "url", "how_to_get"), "x"
    )
    info = CorpusInfo(
        name="x", labels=("angry", "sad"), expected={"angry": 1, "sad": 1}, n_speakers=2, downloadable=False, **values
    )  # fmt: skip
    reader = type("Reader", (), {"INFO": info})
    monkeypatch.setattr(corpora, "get", lambda name: reader)
    assert corpora.difference("x", table) is None
    assert corpora.difference("x", table.where(lambda u: u.label == "sad")) == (
        "this copy of x is not what the official release (in brackets) holds: "
        "utterances 1 (2), speakers 1 (2), angry 0 (1)"
    )


def test_one_s_own_folder_has_no_release_to_differ_from(tree: Path) -> None:
    assert corpora.difference("folder", UtteranceTable((utterance("a"),))) is None


def test_the_study_s_utterances_come_from_the_pickle_too(tmp_path: Path) -> None:
    path = build_iemocap_pickle(tmp_path / "f.pkl", 1)
    table = read_table(
        recipe(path, 'where = {session = "Ses05", gender = "female"}', corpus="iemocap-pickle"), quiet=True
    )
    assert table.speakers == ("iemocap-pickle/Ses05F",) and len(table) == 4
