"""Recipes and options: what is written is what is meant, and typing errors are named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from voxaffect.errors import UsageError
from voxaffect.options import set_key, to_table
from voxaffect.recipe import read_recipe, recipe_from_json, recipe_to_json

MINIMAL = 'name = "r"\n[data]\ncorpora = ["emodb"]\n'
MEMBERS = MINIMAL + "[protocol]\nfolds = 'members'\ntest_speakers = ['emodb/03']\n"


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
        (MINIMAL + "[protocol]\nselect_on = 'train'\n", "unknown select_on 'train'; expected one of"),
        (
            MINIMAL + "[protocol]\nselect_on = 'test'\n",
            r"chooses on the very speakers that are judged, .* allow_test_selection = true does it all the same",
        ),
        (
            MINIMAL + "[protocol]\nfolds = 'random'\n",
            "tests speakers that were trained on, .* allow_speaker_overlap = true does it all the same, stamped",
        ),
        (
            MINIMAL
            + "[protocol]\nfolds = 'random'\nallow_speaker_overlap = true\nselect_on = 'test'\n"
            + "allow_test_selection = true\n",
            "select_on = 'test' takes folds of speakers, not 'random' ones",
        ),
        (
            MINIMAL + "[protocol]\ntrain_speakers = 7\n",
            "train_speakers goes with folds = 'members', not with 'leave-one-speaker",
        ),
        (
            MINIMAL + "[protocol]\nmembers = 3\n[variants.a]\nmembers = ['m1', 'm4']\n",
            r"variant 'a' has members \['m1', 'm4'\]; expected two or more of \['m1', 'm2', 'm3'\], each once",
        ),
        (MINIMAL + "[protocol]\nmembers = 3\n[variants.a]\nmembers = ['m1']\n", "variant 'a' has members"),
        (MINIMAL + "[variants.a]\nmembers = ['m1', 'm2']\n", r"expected two or more of \[\], each once"),
        (MINIMAL + "[protocol]\nmembers = 1\n", "members must be at least 2, got 1"),
        (MINIMAL + "[protocol]\nmembers = 2\nmember = 3\n", "member is 3; expected 1 to 2 of the members"),
        (
            MINIMAL + "[protocol]\nmembers = 2\nfolds = '8:1:1-by-session'\n",
            "members draw their own dev speakers; the folds '8:1:1-by-session' name them",
        ),
        (
            MINIMAL + "[protocol]\nmembers = 2\nselect_on = 'test'\nallow_test_selection = true\n",
            "members draw dev speakers among those who do not test",
        ),
        (
            MEMBERS + "members = 2\ntrain_speakers = 4\nmember = 1\n",
            "members of folds = 'members' go by their tables",
        ),
        (MINIMAL + "[protocol]\ntest_speakers = ['x']\n", "test_speakers goes with folds = 'members'"),
        (MINIMAL + "[protocol]\nfolds = 'members'\n", "needs test_speakers: whom all members are judged on"),
        (
            MEMBERS + "members = 1\ntrain_speakers = 4\n",
            "members must be at least 2, of at least 1 of the train",
        ),
        (MEMBERS + "members = 3\n", "members must be at least 2, .* got 3 of 0"),
        (MEMBERS, r"needs tables \[members.NAME\], or protocol.members to draw them, not both"),
        (
            MEMBERS + "members = 2\ntrain_speakers = 1\n[members.m1]\ntrain = ['a']\n",
            "or protocol.members to draw them, not both",
        ),
        (
            MINIMAL + "[members.m1]\ntrain = ['a']\n",
            "members go with protocol.folds = 'members', not with 'leave",
        ),
        (MEMBERS + "[members.m1]\ntrain = ['a']\n", "member 'm1' has no dev speakers to select on"),
        (MEMBERS + "[members.m1]\ndev = ['a']\n", r"\[r.members.m1\] needs the key 'train'"),
        (MEMBERS + "[members.m1]\ntrain = ['a']\ntest = ['b']\n", r"unknown key 'test' in \[r.members.m1\]"),
        (
            MEMBERS + "[members.'m/1']\ntrain = ['a']\n",
            "member 'm/1' gives its name to a folder: letters, digits",
        ),
        (
            MINIMAL + "[variants.runs]\n",
            r"variant 'runs' gives its name to a folder: .* none of \['members', 'parts'",
        ),
        (MINIMAL + "[ensemble]\nvote = 'loudest'\n", "unknown vote 'loudest'; expected one of"),
        (
            MEMBERS + "select_on = 'test'\nallow_test_selection = true\n[members.m1]\ntrain = ['a']\n"
            "[members.m2]\ntrain = ['b']\n[ensemble]\nvote = 'weighted'\n",
            "a 'weighted' vote is fitted on dev speakers; select_on = 'test' leaves none",
        ),
        (
            MINIMAL + "[variants.a.data]\nlabels = ['sad']\n",
            r"variant 'a' changes 'data'; it may change \['title', 'features', 'model', 'training', 'augment",
        ),
        (
            MINIMAL + "[variants.a.training]\nepoch = 3\n",
            r"unknown key 'epoch' in \[r.variants.a.training\]; expected some of",
        ),
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


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    plain = read_recipe(written(tmp_path, MINIMAL))
    (tmp_path / "bom.toml").write_text(MINIMAL, encoding="utf-8-sig")
    assert read_recipe(tmp_path / "bom.toml").digest == plain.digest


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


VARIANTS = """
[model]
preset = "small"
[model.spectrogram]
kind = "vit"
patch = [20, 20]
[model.speech]
checkpoint = "x"
[training]
epochs = 5
[variants.cnn.model.spectrogram]
kind = "alexnet"
[variants.mute]
title = "No speech"
model = {speech = false, spectrogram.dim = 96}
training.epochs = 2
[variants.plain]
"""


def test_a_variant_is_the_recipe_with_its_changes_laid_over(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, MINIMAL + VARIANTS))
    assert recipe.is_study
    cnn, mute, plain = (recipe.variant(name) for name in recipe.variants)
    assert cnn.model["spectrogram"] == {
        "kind": "alexnet"
    }  # of another kind: nothing of the one beneath stays
    assert mute.model == {
        "preset": "small",
        "spectrogram": {"kind": "vit", "patch": [20, 20], "dim": 96},
        "speech": False,
    }
    assert (mute.training.epochs, plain.training.epochs) == (2, 5)
    assert (mute.title, plain.title) == ("No speech", "r: plain")
    assert (mute.name, plain.name) == ("r/mute", "r/plain")
    assert plain.model == recipe.model
    assert not plain.is_study
    assert len({r.digest for r in (recipe, cnn, mute, plain)}) == 4


def test_a_variant_can_be_changed_from_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + VARIANTS)
    recipe = read_recipe(path, ["variants.mute.training.epochs=7", "training.epochs=1"])
    assert [recipe.variant(name).training.epochs for name in recipe.variants] == [1, 7, 1]


def test_members_read_back_the_same(tmp_path: Path) -> None:
    text = MEMBERS + "[members.m1]\ntrain = ['a']\ndev = ['b']\n[variants.x.training]\nepochs = 2\n"
    recipe = read_recipe(written(tmp_path, text))
    assert recipe.members["m1"].train == ("a",)
    assert recipe_from_json(recipe_to_json(recipe)) == recipe


def test_keys_of_later_editions_leave_earlier_digests_alone(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, MINIMAL))
    table = to_table(recipe)
    for key in ("folder", "title", "card", "members", "variants", "ensemble", "adaptation", "surroundings"):
        del table[key]
    later = {
        "members",
        "member",
        "train_speakers",
        "test_speakers",
        "select_on",
        "allow_test_selection",
        "allow_speaker_overlap",
    }
    table["protocol"] = {key: value for key, value in table["protocol"].items() if key not in later}
    for name, keys in {
        "data": ("complete", "where"),
        "training": ("precision",),
        "distillation": ("unlabelled",),
    }.items():
        table[name] = {key: value for key, value in table[name].items() if key not in keys}
    assert recipe.digest == hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
    changed = ["protocol.allow_test_selection=true"], ["ensemble.vote=mean"], ["variants.x.training.epochs=3"]
    assert len({recipe.digest, *(read_recipe(written(tmp_path, MINIMAL), c).digest for c in changed)}) == 4


def test_the_recipes_of_the_committed_results_keep_their_digest() -> None:
    results = Path(__file__).parents[1] / "results"
    for name in ("bundled", "emodb-whisper"):
        text = (results / name / "recipe.json").read_text(encoding="utf-8")
        assert recipe_from_json(text).digest == json.loads(text)["digest"], name


def test_every_committed_recipe_is_valid() -> None:
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
    assert recipes
    for path in recipes:
        assert read_recipe(path).name == path.stem
