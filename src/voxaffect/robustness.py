"""How a finished run does on altered test audio: each utterance judged by the model that never saw its speaker.

    DIR/robustness.json  {"schema": "voxaffect.robustness/1", ...}, as `Robustness.to_dict` has it
    DIR/robustness.png   the change in UA under each condition, with its interval
    DIR/predictions/     clean.csv and a CSV for each condition, columns as in a run's predictions.csv
    DIR/settings.json    what the answers depend on; who goes on in the folder must ask for the same

The same run, conditions and seed give the same answers: what is drawn for an utterance depends on nothing but the seed,
the condition and the utterance. Differences are paired, their intervals resample speakers.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from voxaffect import calibration
from voxaffect.blind_judge import BlindJudge, finished_trainings
from voxaffect.degradation import Condition, coded, conditions
from voxaffect.ensemble import file_name
from voxaffect.errors import ArtefactError, UsageError
from voxaffect.files import write_json
from voxaffect.parallel import Progress, run_parts
from voxaffect.predictions import Predictions, read_csv, write_csv
from voxaffect.run import RunFolder, check_unused
from voxaffect.significance import Comparison, compare
from voxaffect.train import Machine, check_machine, check_training_packages, read_table
from voxaffect.voting import elect

SCHEMA = "voxaffect.robustness/1"
CLEAN = Condition("clean", "clean", lambda waveform, rng, voices: waveform)
VOTES = ("majority", "mean")
SAME = 0.01
"""Clean answers whose probabilities are further than this from the run's own are not those of the same audio."""


@dataclass(frozen=True)
class Heard:
    """The answers under one condition: UA and WA against clean ones, calibration, and what is answered.

    `probs` and `answered` are the mean probability of each class and the share of utterances called by it.
    """

    condition: Condition
    comparison: Comparison
    ece: float
    probs: Mapping[str, float]
    answered: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The figures as fractions of 1; differences are altered minus clean."""
        c = self.comparison
        return {
            "condition": self.condition.name,
            "group": self.condition.group,
            **c.second,
            "difference": {name: d.to_dict() for name, d in c.difference.items()},
            "p": c.p,
            "ece": self.ece,
            "mean_probs": dict(self.probs),
            "answered": dict(self.answered),
        }


@dataclass(frozen=True)
class Robustness:
    """What alterations of its test audio cost a run; `heard` begins with the clean audio.

    `vote` is "" where each seed is judged by itself and figures are means over seeds. `left_out` says why a condition
    was not tried, `notices` what else should be known.
    """

    title: str
    labels: tuple[str, ...]
    n_utterances: int
    n_speakers: int
    seeds: tuple[int, ...]
    vote: str
    truth: Mapping[str, float]
    heard: tuple[Heard, ...]
    left_out: Mapping[str, str]
    notices: tuple[str, ...] = ()
    optimistic: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What robustness.json holds."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "labels": list(self.labels),
            "n_utterances": self.n_utterances,
            "n_speakers": self.n_speakers,
            "seeds": list(self.seeds),
            "vote": self.vote or None,
            "truth": dict(self.truth),
            "conditions": [h.to_dict() for h in self.heard],
            "left_out": dict(self.left_out),
            "notices": list(self.notices),
            "optimistic": self.optimistic,
        }

    def render(self) -> str:
        """The table of degradations as text for a terminal."""
        from voxaffect.robustness_text import render  # the text needs this class

        return render(self)


def robustness(
    run: Path,
    output: Path | None = None,
    *,
    groups: Sequence[str] = (),
    per_speaker: int = 0,
    vote: str = "",
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    jobs: int = 1,
    quiet: bool = False,
) -> Robustness:
    """Judge the test utterances of the finished run folder `run` under `voxaffect.degradation.conditions(groups)`.

    `per_speaker` takes at most so many utterances of each speaker (0: all), its classes in turn. `vote` lets the
    run's seeds vote, by majority or mean. `output` keeps everything; a folder with finished conditions is gone on
    with where `resume` is true. `jobs` conditions are tried side by side on the CPU.

    Raises:
        UsageError: `unknown_condition`, `unknown_vote`, `one_member`, `stored_features`, `bad_value`, `run_exists`.
        ArtefactError: `not_a_run`, `no_weights`, `other_settings`, and what reading the models raises.
        CorpusError: `no_test_speakers`, and what `voxaffect.train.read_table` raises.
    """
    wanted = conditions(groups)
    if vote and vote not in VOTES:
        raise UsageError("unknown_vote", f"unknown vote {vote!r}; expected one of {list(VOTES)}")
    if per_speaker < 0:
        raise UsageError("bad_value", f"--per-speaker is {per_speaker}; expected 0 (all) or more")
    recipe = RunFolder(run).recipe
    trainings = finished_trainings(run, recipe)
    if vote and len({t.seed for t in trainings}) < 2:
        raise UsageError("one_member", "a vote needs a run of two seeds or more", hint="leave --vote out")
    check_training_packages()
    real_device = check_machine(Machine(device, jobs, None, quiet))
    settings = {"run": run.name, "digest": recipe.digest, "per_speaker": per_speaker, "seed": seed}
    if output is not None:
        _start(output, settings, resume)
    table = read_table(recipe, quiet=quiet)
    judge = BlindJudge.of(
        run, recipe, trainings, table, per_speaker=per_speaker, seed=seed, device=real_device
    )
    if output is None:
        with tempfile.TemporaryDirectory() as folder:
            return _measured(judge, run, Path(folder), wanted, vote, jobs, quiet)
    result = _measured(judge, run, output, wanted, vote, jobs, quiet)
    write_json(output / "robustness.json", result.to_dict())
    draw(result, output / "robustness.png")
    return result


def draw(result: Robustness, path: Path) -> None:
    """The change in UA under each condition as bars, with intervals."""
    from voxaffect.plots import price_figure, save

    bars = {}
    for heard in result.heard[1:]:
        d = heard.comparison.difference["UA"]
        bars[heard.condition.name] = {"UA": (d.value, d.low, d.high)}
    clean = 100 * result.heard[0].comparison.second["UA"]
    stamp = f" OPTIMISTIC ({result.optimistic})" if result.optimistic else ""
    save(price_figure(bars, f"{result.title}{stamp}: change from UA {clean:.1f} on clean audio"), path)


def _start(output: Path, settings: Mapping[str, Any], resume: bool) -> None:
    file = output / "settings.json"
    if file.is_file() and resume:
        if json.loads(file.read_text(encoding="utf-8")) != settings:
            raise ArtefactError(
                "other_settings",
                f"{output} was begun with another run, seed or --per-speaker",
                hint="choose another folder",
            )
        return
    check_unused(output, hint="add --resume, or choose another folder")
    write_json(file, settings)


def _measured(
    judge: BlindJudge, run: Path, folder: Path, wanted: Sequence[Condition], vote: str, jobs: int, quiet: bool
) -> Robustness:
    left_out = {c.name: reason for c in wanted if (reason := _impossible(c))}
    tried = [CLEAN, *(c for c in wanted if c.name not in left_out)]
    files = {c.name: folder / "predictions" / f"{file_name(c.name)}.csv" for c in tried}
    todo = [c for c in tried if not files[c.name].is_file()]
    silent = True if quiet else None
    with tqdm(total=len(todo) * len(judge.voices), unit="utterance", disable=silent) as bar:

        def progress(steps: int, text: str) -> None:
            bar.update(steps)
            bar.set_postfix_str(text)

        def work(condition: Condition, progress: Progress) -> None:
            write_csv(judge.answers(condition, progress), files[condition.name])

        run_parts(todo, work, jobs, progress)
    answers = {c.name: read_csv(files[c.name]) for c in tried}
    clean = answers[CLEAN.name]
    notices = _notices(clean, run)
    seeds, optimistic = clean.distinct_seeds, ", ".join(clean.optimistic)
    if vote:
        answers = {name: voted(p, vote) for name, p in answers.items()}
        clean = answers[CLEAN.name]
    first = clean.of_seed(clean.distinct_seeds[0])
    truth = np.bincount(first.truth, minlength=len(clean.labels)) / len(first)
    return Robustness(
        title=judge.recipe.title or judge.recipe.name,
        labels=clean.labels,
        n_utterances=len(set(clean.ids)),
        n_speakers=len(set(clean.speakers)),
        seeds=seeds,
        vote=vote,
        truth=dict(zip(clean.labels, map(float, truth), strict=True)),
        heard=tuple(_heard(c, clean, answers[c.name]) for c in tried),
        left_out=left_out,
        notices=notices,
        optimistic=optimistic,
    )


def _heard(condition: Condition, clean: Predictions, p: Predictions) -> Heard:
    answered = np.bincount(p.predicted, minlength=len(p.labels)) / len(p)
    errors = [calibration.ece(s.confidence, s.predicted == s.truth) for s in map(p.of_seed, p.distinct_seeds)]
    return Heard(
        condition,
        compare(clean, p),
        float(np.mean(errors)),
        dict(zip(p.labels, map(float, p.probs.mean(axis=0)), strict=True)),
        dict(zip(p.labels, map(float, answered), strict=True)),
    )


def voted(p: Predictions, rule: str) -> Predictions:
    """What the seeds of `p` decide together on each utterance that all of them answer for."""
    seeds = [p.of_seed(s) for s in p.distinct_seeds]
    places = [{utterance: i for i, utterance in enumerate(s.ids)} for s in seeds]
    ids = [i for i in seeds[0].ids if all(i in place for place in places)]
    aligned = [s.select([place[i] for i in ids]) for s, place in zip(seeds, places, strict=True)]
    election = elect([s.predicted for s in aligned], [s.probs for s in aligned], rule=rule)
    first = aligned[0]
    return Predictions(
        first.ids, first.speakers, first.folds, p.labels, first.truth, election.probs, (), election.winners
    )


def _impossible(condition: Condition) -> str:
    """Why this machine cannot make `condition`; "" where it can."""
    codec = getattr(condition.alter, "keywords", {}).get("codec")
    if codec is None:
        return ""
    try:
        coded(np.zeros(8_000, np.float32), np.random.default_rng(0), (), codec=codec)
    except UsageError as error:
        return error.message
    return ""


def _notices(clean: Predictions, run: Path) -> tuple[str, ...]:
    """Whether the clean answers are those that the run gave itself."""
    file = run / "predictions.csv"
    if not file.is_file():
        return ()
    own = read_csv(file)
    kept = {(seed, i): probs for seed, i, probs in zip(own.seeds, own.ids, own.probs, strict=True)}
    off = sum(
        bool(np.abs(kept[seed, i] - probs).max() > SAME)
        for seed, i, probs in zip(clean.seeds, clean.ids, clean.probs, strict=True)
        if (seed, i) in kept
    )
    if not off:
        return ()
    return (
        f"{off} of {len(clean)} clean answers are not those of the run's predictions.csv: other audio or "
        "software than it was judged with",
    )
