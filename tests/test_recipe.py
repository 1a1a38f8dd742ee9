"""Recipes and options: what is written is what is meant, and typing errors are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxaffect.errors import UsageError
from voxaffect.options import set_key
from voxaffect.recipe import read_recipe, recipe_from_json, recipe_to_json

MINIMAL = 'name = "r"\n[data]\ncorpora = ["emodb"]\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_minimal_recipe_gets_the_defaults(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, MINIMAL))
    assert recipe.data.labels == ("angry", "happy", "neutral", "sad")
    assert recipe.protocol.seeds == (1,)
    assert recipe.resolve("x") == tmp_path / "x"


def test_labels_are_put_in_alphabetical_order(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, MINIMAL + 'labels = ["sad", "angry"]\n'))
    assert recipe.data.labels == ("angry", "sad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nam = 1\n" + MINIMAL, "unknown key 'nam' in"),
        (
            MINIMAL + "[training]\nepoch = 3\n",
            r"unknown key 'epoch' in \[r.training\]; expected some of \['average_last'",
        ),
        (MINIMAL + '[training]\nepochs = "3"\n', "r.training.epochs must be a whole number, got '3'"),
        (MINIMAL + "[training]\nepochs = 0\n", "epochs, batch_size and patience must be at least 1"),
        (MINIMAL + '[training]\nselect_by = "test"\n', "unknown select_by 'test'"),
        (MINIMAL + '[training]\nschedule = "x"\n', "unknown schedule 'x'"),
        (MINIMAL + '[training]\nbalance = "x"\n', "unknown balance 'x'"),
        (MINIMAL + "[training]\naverage_last = 1.5\n", r"average_last must be in \[0, 1\), got 1.5"),
        (MINIMAL + "[protocol]\ndev_speakers = 0\n", "dev_speakers must be at least 1"),
        (MINIMAL + "[protocol]\nseeds = [1, 1]\n", "seeds must be distinct"),
        (MINIMAL + "[protocol]\nseeds = 1\n", "r.protocol.seeds must be a list, got 1"),
        (MINIMAL + "[augmentation]\nspeed = [0.0, 1.0]\n", "copies must not be negative and speed"),
        (MINIMAL + "[augmentation]\nspeed = [1.0]\n", "must be a list of 2 values"),
        (
            MINIMAL + "[augmentation]\nmixup = 0.2\n[distillation]\ncheckpoint = 'x'\n",
            "mixup and distillation do not go together",
        ),
        ('name = "r"\n', r"needs the key 'data'"),
        ('name = "r"\ndata = 3\n', "r.data must be a table, got 3"),
        ('name = "r"\n[data]\ncorpora = []\n', "corpora is empty"),
        (MINIMAL + 'roots = {iemocap = "x"}\n', "roots names 'iemocap', which is not in corpora"),
        (MINIMAL + 'mapping = "x"\n', "unknown mapping 'x'"),
        (MINIMAL + 'labels = ["sad", "joy"]\n', "unknown label 'joy'"),
        (MINIMAL + 'labels = ["sad"]\n', "at least two labels"),
        (MINIMAL + 'labels = ["sad", "sad"]\n', "a label stands twice"),
        ('folder = "x"\n' + MINIMAL, "unknown key 'folder'"),
        ("name = \n", "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_recipe(written(tmp_path, text))


def test_a_missing_recipe_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe at"):
        read_recipe(tmp_path / "none.toml")


def test_assignments_change_the_recipe_and_its_digest(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    changed = read_recipe(path, ["training.epochs=3", "data.root=../x y", "protocol.seeds=[4, 5]"])
    assert (changed.training.epochs, changed.data.root, changed.protocol.seeds) == (3, "../x y", (4, 5))
    assert changed.digest != read_recipe(path).digest
    assert read_recipe(path, ["title=other"]).digest == read_recipe(path).digest


@pytest.mark.parametrize("assignment", ["epochs", "=3", "a..b=1"])
def test_an_assignment_of_another_form_is_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match="is not of the form"):
        set_key({}, assignment)


def test_an_assignment_through_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="'name' is a value, not a table"):
        set_key({"name": "r"}, "name.x=1")


def test_a_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    recipe = read_recipe(
        written(tmp_path, MINIMAL + '[model]\nkind = "probe"\n[model.speech]\ncheckpoint = "x"\n')
    )
    assert recipe_from_json(recipe_to_json(recipe)) == recipe


def test_every_committed_recipe_is_valid() -> None:
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
    assert recipes
    for path in recipes:
        assert read_recipe(path).name == path.stem
