"""Run, ensemble and study folders as training leaves them, from made-up predictions: the same on every call."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from voxaffect import metrics
from voxaffect.evaluation import evaluate
from voxaffect.metadata import COLUMNS
from voxaffect.predictions import Predictions, concat, write_csv
from voxaffect.recipe import DataOptions, ProtocolOptions, Recipe, recipe_to_json
from voxaffect.significance import MEASURES, cluster, mcnemar, paired_difference

LABELS = ("angry", "happy", "neutral", "sad")
ACTORS = tuple(f"iemocap/Ses0{n}{sex}" for n in range(1, 6) for sex in "FM")
STUDY_COUNTS = {"angry": 100, "happy": 200, "neutral": 190, "sad": 100}
"""590 utterances, as the study's test actor has."""


def predict(
    speakers: Mapping[str, int] | Mapping[tuple[str, str], int],
    accuracy: float,
    *,
    fold: str = "f1",
    seed: int = 1,
    rng: int = 0,
    labels: Sequence[str] = LABELS,
) -> Predictions:
    """Predictions of `speakers[name]` utterances of each speaker, classes in turn, or `speakers[name, label]` of each;
    right about as often as `accuracy` says, and harder for some utterances than for others."""
    generator = np.random.default_rng(rng)
    pairs: list[tuple[str, int]] = []
    for key, n in speakers.items():
        if isinstance(key, tuple):
            pairs += [(key[0], labels.index(key[1]))] * n
        else:
            pairs += [(key, i % len(labels)) for i in range(n)]
    truth = np.array([k for _, k in pairs], dtype=np.int64)
    hard = np.random.default_rng(99).normal(size=len(truth))  # alike for all systems
    strength = 1.9 * np.log(accuracy / (1 - accuracy)) + 2.2 * hard + 0.5 * generator.normal(size=len(truth))
    shared = np.random.default_rng(98).gumbel(size=(len(truth), len(labels)))  # mistakes, too, are alike
    logits = 0.8 * shared + 0.5 * generator.gumbel(size=shared.shape)
    logits[np.arange(len(truth)), truth] += strength + np.log(len(labels) - 1)
    probs = np.exp(1.2 * logits) / np.exp(1.2 * logits).sum(axis=1, keepdims=True)
    return Predictions(
        ids=tuple(f"{speaker}_{i:04d}" for i, (speaker, _) in enumerate(pairs)),
        speakers=tuple(speaker for speaker, _ in pairs),
        folds=(fold,) * len(truth),
        labels=tuple(labels),
        truth=truth,
        probs=probs,
        seeds=(seed,) * len(truth),
    )


def run(
    folder: Path,
    *,
    n_speakers: int = 6,
    n: int = 20,
    seeds: Sequence[int] = (1, 2),
    fold: str = "",
    title: str = "A tiny run",
    utterances: bool = True,
) -> Path:
    """A run of two folds, recorded as `voxaffect train` does; `fold` goes before the folds' names."""
    speakers = [f"emodb/{i:02d}" for i in range(1, n_speakers + 1)]
    half = n_speakers // 2
    groups = (speakers[:half], speakers[half:])
    parts, folds = [], []
    for seed in seeds:
        for k, test in enumerate(groups):
            name = f"{fold}group{k + 1}"
            parts.append(predict(dict.fromkeys(test, n), 0.75, fold=name, seed=seed, rng=10 * seed + k))
            others = groups[1 - k]
            folds.append({"seed": seed, "name": name, "train": others[1:], "dev": others[:1], "test": test})
    folder.mkdir(parents=True, exist_ok=True)
    predictions = concat(parts)
    write_csv(predictions, folder / "predictions.csv")
    write_json(folder / "folds.json", folds)
    recipe = Recipe(
        "tiny", DataOptions(("emodb",)), ProtocolOptions("speaker-groups", 2, 1, tuple(seeds)), title=title
    )
    (folder / "recipe.json").write_text(recipe_to_json(recipe))
    write_json(folder / "metrics.json", {"recipe": "tiny", "evaluation": evaluate(predictions).to_dict()})
    environment = {
        "started": "2026-01-02T03:04:05+00:00",
        "command": ["voxaffect", "train", "a recipe.toml", "-o", "runs/tiny"],
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "versions": {"python": "3.11.7", "voxaffect": "0.1.0"},
    }
    write_json(folder / "environment.json", environment)
    rows = [
        {
            "seed": s,
            "fold": f["name"],
            "epoch": float(e),
            "train_loss": 2 / e,
            "dev_loss": 1 / e + 0.4,
            "dev_ua": ua,
        }
        for s in seeds
        for f in folds
        if f["seed"] == s
        for e, ua in ((1, 0.4), (2, 0.7), (3, 0.7), (4, 0.6))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if utterances:
        describe(folder / "utterances.csv", predictions)
        baselines(folder / "baselines.json", LABELS)
    return folder


def ensemble(
    folder: Path, members: Mapping[str, Predictions], trained: Mapping[str, tuple[list[str], list[str]]]
) -> Path:
    """An ensemble run of `members` by majority vote, recorded as `voxaffect ensemble` does."""
    every = list(members.values())
    first = every[0]
    mean = np.mean([p.probs for p in every], axis=0)
    votes = np.sum([np.eye(len(first.labels))[p.predicted] for p in every], axis=0)
    ahead = votes == votes.max(axis=1, keepdims=True)
    decided = replace(first, probs=mean, decisions=np.where(ahead, mean, -1).argmax(axis=1))
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(decided, folder / "predictions.csv")
    for name, p in members.items():
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        write_csv(p, folder / "members" / f"{safe}.csv")
    everyone = [s for train, dev in trained.values() for s in (*train, *dev)]
    train = sorted({s for t, _ in trained.values() for s in t})
    fold = {"seed": 1, "name": first.folds[0], "train": train, "dev": sorted(set(everyone) - set(train))}
    write_json(folder / "folds.json", [{**fold, "test": sorted(set(first.speakers))}])
    write_json(folder / "metrics.json", {"recipe": folder.name, "evaluation": evaluate(decided).to_dict()})
    write_json(
        folder / "ensemble.json", ensemble_json(decided, members, trained, int((ahead.sum(axis=1) > 1).sum()))
    )
    return folder


def ensemble_json(
    vote: Predictions,
    members: Mapping[str, Predictions],
    trained: Mapping[str, tuple[list[str], list[str]]],
    ties: int,
) -> dict[str, Any]:
    def figures(p: Predictions) -> dict[str, float]:
        matrix = metrics.confusion(p.truth, p.predicted, len(p.labels))
        return {name: float(f(matrix)) for name, f in MEASURES.items()}

    groups, names, kind = cluster(vote.speakers, vote.ids)

    def by_cluster(p: Predictions) -> Any:
        return metrics.grouped_confusions(p.truth, p.predicted, groups, len(p.labels), len(names))

    of_member = {name: figures(p) for name, p in members.items()}
    mean = np.stack([by_cluster(p) for p in members.values()])
    gain: dict[str, Any] = {}
    for name, f in MEASURES.items():
        d, p = paired_difference(mean, by_cluster(vote), f, clusters=kind, n_bootstrap=200)
        gain[name] = {**d.to_dict(), "p": p}
    ranked = sorted(members, key=lambda m: of_member[m]["WA"])
    median = ranked[(len(ranked) - 1) // 2]
    right = vote.predicted == vote.truth
    paired = mcnemar(right, members[median].predicted == members[median].truth)
    gain["mcnemar"] = {
        "member": median,
        "only_vote": paired.only_first,
        "only_member": paired.only_second,
        "p": paired.p,
    }
    rows = [
        {
            "name": name,
            "run": f"runs/{name}",
            "train": trained[name][0],
            "dev": trained[name][1],
            "test": sorted(set(vote.speakers)),
            "folds": 1,
            **of_member[name],
            "weight": 1 / len(members),
        }
        for name in members
    ]
    return {
        "schema": "voxaffect.ensemble/1",
        "vote": "majority",
        "labels": list(vote.labels),
        "n_utterances": len(vote),
        "members": rows,
        "figures": figures(vote),
        "ties": ties,
        "gain": gain,
        "optimistic": [],
        "trusted": [],
    }


def study(
    folder: Path, *, counts: Mapping[str, int] = STUDY_COUNTS, fold: str = "Ses05F", n_members: int = 7
) -> Path:
    """The study in form: CNN and ViT, seven members each on four actors, voting on the tenth."""
    test = "iemocap/Ses05F"
    others = [a for a in ACTORS if a != test]
    for variant, base, start in (("cnn", 0.615, 100), ("vit", 0.60, 200)):
        members, trained = {}, {}
        for i in range(n_members):
            name = f"m{i + 1}"
            speakers = {(test, label): n for label, n in counts.items()}
            members[name] = predict(speakers, base + 0.012 * (i % 3), fold=fold, rng=start + i)
            trained[name] = ([others[(i + j) % 9] for j in range(4)], [others[(i + 5) % 9]])
        ensemble(folder / variant, members, trained)
    write_json(
        folder / "study.json",
        {
            "schema": "voxaffect.study/1",
            "name": "study",
            "title": "The study, in form",
            "variants": ["cnn", "vit"],
        },
    )
    return folder


def describe(file: Path, p: Predictions) -> None:
    """`utterances.csv` of the utterances that `p` answers for: odd speakers are female; texts and sessions repeat."""
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, ["id", *COLUMNS], restval="", lineterminator="\n")
        writer.writeheader()
        for i, utterance in enumerate(dict.fromkeys(p.ids)):
            row = p.ids.index(utterance)
            speaker = p.speakers[row]
            odd = speaker[-1] in "13579F"
            cells = {"id": utterance, "speaker": speaker, "corpus": speaker.partition("/")[0]}
            cells |= {"label": p.labels[p.truth[row]], "text": f"text {i % 5}", "duration": "2.5"}
            writer.writerow(
                {**cells, "gender": "female" if odd else "male", "session": f"s{int(speaker[-1], 36) // 3}"}
            )


def baselines(file: Path, labels: Sequence[str]) -> None:
    """`baselines.json` with two guesses and one that could not be made."""
    rows = [
        {"name": "majority class", "n": 120, "known": 1.0, "UA": 0.25, "WA": 0.31, "macro-F1": 0.1},
        {"name": "text", "n": 120, "known": 0.975, "UA": 0.271, "WA": 0.334, "macro-F1": 0.187},
    ]
    left_out = [{"name": "scenario", "reason": "no utterance has one"}]
    write_json(
        file,
        {"schema": "voxaffect.baselines/1", "labels": list(labels), "baselines": rows, "left_out": left_out},
    )


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
