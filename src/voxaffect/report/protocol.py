"""The protocol in words: which utterances, who trains, selects and tests, how often, with which model and command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from voxaffect import corpora
from voxaffect.html_page import Content, Part, Section, code, element, join, terms
from voxaffect.options import to_table
from voxaffect.recipe import Recipe, TrainingOptions
from voxaffect.report.system import Source, System
from voxaffect.report.wording import count, listed, number, range_of

NAMES = ("name", "title", "folder")
"""Settings that only say what a recipe is called and where it lies."""


def section(source: Source) -> Section:
    """The protocol of each system; what all of them share is said once."""
    pairs = [_pairs(system) for system in source.systems]
    shared = [pair for pair in pairs[0] if all(pair in other for other in pairs[1:])]
    parts: list[Part] = [terms(shared)] if shared else []
    settings = _own_settings(source)
    for system, own, differing in zip(source.systems, pairs, settings, strict=True):
        rest = [pair for pair in own if pair not in shared] + differing
        if rest:
            parts.append(Section(system.title, [terms(rest)]))
    return Section("Protocol", parts)


def _own_settings(source: Source) -> list[list[tuple[Content, Content]]]:
    """The settings of each system's recipe that are not the same in all of them."""
    tables = [dict(_flat(to_table(s.recipe))) if s.recipe else {} for s in source.systems]
    keys = sorted({key for table in tables for key in table} - set(NAMES))
    differing = [key for key in keys if any(t.get(key) != tables[0].get(key) for t in tables)]
    if not differing or not all(tables):
        return [[] for _ in tables]
    own = [join(*(element("div", code(f"{k} = {t[k]}")) for k in differing if k in t)) for t in tables]
    return [[("Its own settings", settings)] for settings in own]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value of nested tables by its dotted key, as JSON."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)


def _pairs(system: System) -> list[tuple[Content, Content]]:
    pairs: list[tuple[Content, Content]] = [
        ("Utterances", _utterances(system)),
        ("Classes", _classes(system)),
        ("Roles", _roles(system)),
    ]
    seeds = system.predictions.distinct_seeds
    if len(seeds) > 1:
        pairs.append(("Seeds", f"{listed([str(s) for s in seeds])}; figures are means over them"))
    if system.recipe:
        pairs += _of_recipe(system.recipe)
        pairs.append(("Recipe", join(system.recipe.name, " ", code(system.digest))))
    if system.vote:
        pairs.append(("Vote", f"{system.vote.rule} of {count(len(system.vote.members), 'member')}"))
    return pairs + _of_environment(system.environment)


def _utterances(system: System) -> str:
    e = system.evaluation
    words = count(e.n_utterances, "test utterance")
    if e.speakers:
        words += f" of {count(len(e.speakers), 'speaker')}"
    if e.corpora:
        words += f"; {', '.join(_title(name) for name in e.corpora)}"
    return words


def _title(corpus: str) -> str:
    return f"{corpora.get(corpus).INFO.title} ({corpus})" if corpus in corpora.names() else corpus


def _classes(system: System) -> str:
    return ", ".join(f"{c.label} {number(c.n)}" for c in system.evaluation.classes)


def _roles(system: System) -> str:
    """Who trains, selects and tests, in one sentence; also that nobody has two roles, where that is so."""
    tested = [t for t in system.all_trainings if t.test]
    if not tested:
        return "nobody is tested" if system.trainings else "not said: there is no folds.json"
    n = len({t.fold for t in tested})
    each = "member" if system.by_member else "fold"
    numbers = [range_of(len(getattr(t, part)) for t in tested) for part in ("train", "dev", "test")]
    words = f"{count(n, each)}; speakers of {'each' if n > 1 else 'it'}: "
    if system.vote and each == "fold":
        others = range_of(len({*t.train, *t.dev}) for t in tested)
        words += f"{others} train or select some member, {numbers[2]} test"
    else:
        words += f"{numbers[0]} train, {numbers[1]} select the epoch or grid point, {numbers[2]} test"
    if any(set(t.test) & {*t.train, *t.dev} or set(t.train) & set(t.dev) for t in tested):
        return words + "; some have two of these roles."
    return words + "; nobody has two of these roles."


def _of_recipe(recipe: Recipe) -> list[tuple[Content, Content]]:
    pairs: list[tuple[Content, Content]] = [("Model", _model(recipe))]
    data = recipe.data
    if data.mapping != "none":
        pairs.append(("Labels", f"mapped by “{data.mapping}”"))
    pairs.append(("Folds", f"“{recipe.protocol.folds}”"))
    if recipe.model_kind == "coattention":
        pairs.append(("Training", _training(recipe.training)))
    return pairs


def _training(t: TrainingOptions) -> str:
    measure = f"dev {t.select_by if t.select_by == 'loss' else t.select_by.upper()}"
    if t.patience >= t.epochs:
        return f"{count(t.epochs, 'epoch')}; the best by {measure} is kept"
    return f"at most {count(t.epochs, 'epoch')}, stopped after {t.patience} without gain in {measure}"


def _model(recipe: Recipe) -> str:
    if recipe.model_kind == "probe":
        return f"{recipe.model_kind} on {_encoder(recipe.model.get('speech'))}"
    branches = [
        f"{name}: {_encoder(recipe.model[name])}"
        for name in ("spectrogram", "mfcc", "speech")
        if isinstance(recipe.model.get(name), Mapping)
    ]
    return ", ".join([recipe.model_kind, *branches])


def _encoder(table: Any) -> str:
    """A branch by its checkpoint's name, or else its kind."""
    if not isinstance(table, Mapping):
        return "default"
    checkpoint = str(table.get("checkpoint", "")).rstrip("/").rpartition("/")[2]
    return " ".join(word for word in (str(table.get("kind", "")), checkpoint) if word) or "default"


def _of_environment(environment: Mapping[str, Any]) -> list[tuple[Content, Content]]:
    pairs: list[tuple[Content, Content]] = []
    command = environment.get("command")
    if isinstance(command, list):
        pairs.append(("Command", code(shlex.join(str(word) for word in command))))
    if environment.get("commit"):
        pairs.append(("Commit", code(str(environment["commit"]))))
    if environment.get("started"):
        pairs.append(("Started", str(environment["started"])))
    versions = environment.get("versions")
    if isinstance(versions, dict):
        pairs.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return pairs
