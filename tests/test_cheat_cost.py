"""What shortcuts buy: known by construction where sound tells nothing but the speaker, or nothing but the text."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speaker_tables import EMODB, a_table
from voxaffect.cheat_cost import CheatCost, arms_of, cheat_cost, text_groups_of
from voxaffect.cli import main
from voxaffect.errors import ArtefactError, ExitCode, UsageError
from voxaffect.loose_folds import SelectedOnTest, UtteranceFold
from voxaffect.recipe import DataOptions, ProtocolOptions, Recipe, read_recipe
from voxaffect.splits import Fold
from voxaffect.table import UtteranceTable

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

RATE = 16_000
LABELS = ("angry", "sad")
RECIPE = """
name = "shortcuts"
title = "Tones"
[data]
corpora = ["folder"]
roots = {folder = "clips.csv"}
labels = ["angry", "sad"]
[protocol]
folds = "leave-one-speaker-out"
dev_speakers = 1
seeds = [1, 2]
[features]
window = 0.0
[model]
kind = "probe"
layers = [[1]]
statistics = ["mean"]
kernels = ["rbf"]
rbf_scale = 4.0
penalties = [0.01, 0.1]
inner_folds = 2
[model.speech]
checkpoint = "whisper"
"""


def build(folder: Path, tells: str, n_speakers: int = 6) -> Path:
    """The recipe of a corpus in `folder` where the pitch is the speaker's ("speaker") or the text's ("text").

    Along the pitches the classes alternate, so that what tells nothing of new speakers or texts tells the class of
    those that were seen.
    """
    from neural_inputs import save_speech

    rng = np.random.default_rng(1)
    rows = ["path,label,speaker,text"]
    for speaker in range(n_speakers):
        for clip in range(4):
            number = speaker if tells == "speaker" else clip
            label = LABELS[number % 2] if tells == "speaker" else LABELS[clip % 2]
            time = np.arange(4800 + 160 * clip) / RATE
            pitch = 200 * 1.6**number
            samples = 0.2 * np.sin(2 * np.pi * pitch * time) + 0.002 * rng.standard_normal(len(time))
            name = f"{speaker}_{clip}.wav"
            soundfile.write(folder / name, samples.astype(np.float32), RATE)
            rows.append(f"{name},{label},s{speaker},{'' if tells == 'speaker' else f't{clip}'}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    save_speech("whisper", folder / "whisper")
    return folder / "recipe.toml"


@pytest.fixture(scope="module")
def of_speakers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("speakers"), "speaker")


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("texts"), "text")


@pytest.fixture(scope="module")
def kept(of_texts: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CheatCost]:
    run = tmp_path_factory.mktemp("kept") / "run"
    return run, cheat_cost(read_recipe(of_texts), run, quiet=True)


def figure(result: CheatCost, arm: str) -> float:
    return result.arms[arm].evaluation.ua.value


def test_where_sound_tells_only_the_speaker_a_random_split_buys_everything(of_speakers: Path) -> None:
    result = cheat_cost(read_recipe(of_speakers), quiet=True)
    assert figure(result, "random-split") > 0.9  # all, but for a speaker who is drawn to test with every clip
    assert figure(result, "honest") < 0.6  # two classes: no better than a coin
    price = result.prices["random split"]
    assert price.difference["UA"].value == pytest.approx(
        figure(result, "random-split") - figure(result, "honest")
    )
    assert price.difference["UA"].low > 0  # six speakers, each of one class: the interval is wide
    assert result.left_out == dict.fromkeys(
        ("seen texts", "more utterances"), "the corpus does not say what is said in 24 of 24 utterances"
    )


def test_where_sound_tells_only_the_text_seen_texts_buy_everything(kept: tuple[Path, CheatCost]) -> None:
    _, result = kept
    assert figure(result, "honest") == figure(result, "seen-texts") == 1.0
    assert figure(result, "unseen-texts") < 0.6
    assert result.prices["seen texts"].difference["UA"].low > 0.3
    assert result.prices["more utterances"].difference["UA"].value == 0.0
    assert result.prices["random split"].difference["UA"].value == 0.0
    assert result.left_out == {}


def test_everything_is_kept_in_the_folder(kept: tuple[Path, CheatCost]) -> None:
    run, result = kept
    assert json.loads((run / "cheat_cost.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    assert (run / "cheat_cost.png").read_bytes().startswith(b"\x89PNG")
    for arm in result.arms:
        assert (run / arm / "predictions.csv").is_file()
    folds = {arm: json.loads((run / arm / "folds.json").read_text()) for arm in result.arms}
    assert all(f["name"].startswith("OPTIMISTIC validation-on-test: ") for f in folds["validation-on-test"])
    assert all(f["name"].startswith("OPTIMISTIC random-split: ") for f in folds["random-split"])
    for arm in ("honest", "unseen-texts", "seen-texts"):
        assert not any(f["name"].startswith("OPTIMISTIC") for f in folds[arm])
    assert json.loads((run / "random-split/recipe.json").read_text())["protocol"]["folds"] == "random"


def test_the_text_says_what_was_bought_and_how(kept: tuple[Path, CheatCost]) -> None:
    text = kept[1].render()
    assert text.startswith("Tones\n  arm                 trainings  fitted on      UA      WA\n")
    assert "  honest                     12       20.0   100.0   100.0\n" in text
    assert "  unseen-texts               48       15.0" in text
    stamped = [line.split()[0] for line in text.splitlines() if line.endswith("  OPTIMISTIC")]
    assert stamped == ["validation-on-test", "random-split"]
    assert "\n  points bought by        UA  95 % interval        p      WA  95 % interval        p\n" in text
    assert "  24 utterances; intervals resample 6 speakers\n" in text
    assert (
        "seen texts: other speakers say the tested texts in training, sizes alike (seen-texts minus unseen"
        in text
    )


def test_a_finished_measurement_is_taken_up_and_another_recipe_refused(
    of_texts: Path, kept: tuple[Path, CheatCost]
) -> None:
    run, result = kept
    before = {path: path.stat().st_mtime_ns for path in run.rglob("done.json")}
    again = cheat_cost(read_recipe(of_texts), run, resume=True, quiet=True)
    assert again.to_dict() == result.to_dict()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("done.json")} == before
    with pytest.raises(UsageError, match="already holds a run"):
        cheat_cost(read_recipe(of_texts), run, quiet=True)
    with pytest.raises(ArtefactError, match="was begun with another recipe"):
        cheat_cost(read_recipe(of_texts, ["protocol.seeds=[3]"]), run, resume=True, quiet=True)


# --- the arms


def recipe(kind: str = "probe", **protocol: Any) -> Recipe:
    options = ProtocolOptions(**{"dev_speakers": 2, "seeds": (1, 2), **protocol})
    return Recipe("r", DataOptions(("emodb",)), options, model={"kind": kind})


def texted(n: int = 4) -> UtteranceTable:
    """Ten speakers who say `n` texts each, twice."""
    table = a_table(EMODB * (2 * n))
    labels = ("angry", "happy", "neutral", "sad")
    return UtteranceTable(
        tuple(
            replace(u, text=f"text {(i // 10) % n}", label=labels[(i // 10 + i) % 4])
            for i, u in enumerate(table)
        )
    )


@pytest.mark.parametrize("kind", ["probe", "coattention"])
def test_all_arms_have_the_same_trainings_seeds_and_sizes(kind: str) -> None:
    table = texted()
    arms, left_out = arms_of(recipe(kind), table)
    assert left_out == {}
    assert list(arms) == ["honest", "validation-on-test", "random-split", "unseen-texts", "seen-texts"]
    honest = [part.fold.rows(table) for part in arms["honest"]]
    tested = Counter((part.seed, row) for part in arms["honest"] for row in part.fold.rows(table).test)
    for name, parts in arms.items():
        rows = [part.fold.rows(table) for part in parts]
        assert Counter((p.seed, row) for p, r in zip(parts, rows, strict=True) for row in r.test) == tested, (
            name
        )
        if "texts" in name:
            continue
        assert [part.seed for part in parts] == [part.seed for part in arms["honest"]]
        for mine, other in zip(rows, honest, strict=True):
            fitted = len(mine.train) + (
                len(mine.dev) if kind == "probe" and name != "validation-on-test" else 0
            )
            assert fitted == len(other.train) + (len(other.dev) if kind == "probe" else 0), name
    for part, fold in zip(arms["validation-on-test"], arms["honest"], strict=True):
        assert isinstance(part.fold, SelectedOnTest)
        assert isinstance(fold.fold, Fold)
        assert part.fold.test == fold.fold.test
        if kind == "coattention":
            assert part.fold.train == fold.fold.train
    assert all(part.fold.mixes_speakers for part in arms["random-split"])


def test_unseen_texts_are_unseen_and_their_control_has_the_same_classes() -> None:
    table = texted()
    arms, _ = arms_of(recipe(), table, 2)
    assert len(arms["unseen-texts"]) == 2 * len(arms["honest"])
    for part, control in zip(arms["unseen-texts"], arms["seen-texts"], strict=True):
        assert isinstance(part.fold, UtteranceFold)
        assert not part.fold.mixes_speakers
        assert not control.fold.mixes_speakers
        assert part.fold.name == control.fold.name
        mine, other = part.fold.rows(table), control.fold.rows(table)
        texts = [{table[row].text for row in rows} for rows in mine]
        assert not texts[2] & (texts[0] | texts[1])
        assert texts[2] & {table[row].text for row in other.train}
        assert mine.test == other.test
        for a, b in ((mine.train, other.train), (mine.dev, other.dev)):
            assert Counter(table[row].label for row in a) == Counter(table[row].label for row in b)


def test_the_arms_are_drawn_by_seed_alone() -> None:
    first, again = (arms_of(recipe(), texted())[0] for _ in range(2))
    assert first == again
    seeds = [[p.fold.rows(texted()).test for p in first["random-split"] if p.seed == s] for s in (1, 2)]
    assert seeds[0] != seeds[1]


def test_groups_of_texts_share_out_the_utterances() -> None:
    table = a_table(EMODB[:1] * 10)
    counts = {"a": 4, "b": 3, "c": 2, "d": 1}
    texts = [text for text, n in counts.items() for _ in range(n)]
    table = UtteranceTable(tuple(replace(u, text=t) for u, t in zip(table, texts, strict=True)))
    assert text_groups_of(table, 2) == (frozenset("ad"), frozenset("bc"))
    assert text_groups_of(table, 9) == tuple(map(frozenset, "abcd"))


def test_texts_without_a_price_say_why() -> None:
    own = UtteranceTable(tuple(replace(u, text=u.id) for u in texted()))
    for table, reason in (
        (texted(1), "all utterances have one text"),
        (own, "no test utterance has a text that is in training: they are unseen already"),
    ):
        _, left_out = arms_of(recipe(), table)
        assert left_out == dict.fromkeys(("seen texts", "more utterances"), reason)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": "all-speakers"}, "starts from honest folds of speakers, not from 'all-speakers'"),
        (
            {"select_on": "test", "allow_test_selection": True},
            "starts from honest folds of speakers, not from 'leave",
        ),
        (
            {"folds": "random", "allow_speaker_overlap": True},
            "starts from honest folds of speakers, not from 'random'",
        ),
    ],
)
def test_what_is_no_honest_protocol_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        arms_of(recipe(**changes), texted())


def test_studies_are_refused() -> None:
    study = Recipe("r", DataOptions(("emodb",)), variants={"a": {}})
    with pytest.raises(UsageError, match="cheat-cost takes one recipe with folds, not members or variants"):
        arms_of(study, texted())


# --- the command


def test_the_command_prints_and_keeps_nothing_unasked(
    of_speakers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["cheat-cost", str(of_speakers), "--no-cache", "--set", "protocol.seeds=[1]", "--device", "cpu"]
    assert main(words) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("Tones\n  arm")
    assert "  note: seen texts has no price: the corpus does not say" in said.out
    assert list(tmp_path.iterdir()) == []
    assert main([*words, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["schema"] == "voxaffect.cheat-cost/1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text-groups", "1"], "bad_value: --text-groups is 1; some texts must stay in training"),
        (["--resume"], "bad_arguments: --resume goes with -o RUN; name the folder to go on in"),
    ],
)
def test_wrong_words_are_refused(
    of_speakers: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["cheat-cost", str(of_speakers), *words]) == ExitCode.USAGE
    assert message in capsys.readouterr().err
