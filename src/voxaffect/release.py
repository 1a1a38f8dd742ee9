"""From a finished run to one model file: members, calibration, and a card that says what was measured.

The figures on the card come from a second run, the evidence: the same recipe with whole speakers held out. The
released members may have seen every speaker; the figures are of models that had not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voxaffect.calibration import certainty_threshold, fit_temperature, softmax
from voxaffect.errors import ArtefactError, UsageError
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.feature_options import FeatureOptions
from voxaffect.files import write_text
from voxaffect.modelfile import SCHEMA
from voxaffect.predictions import Predictions, read_csv, read_run
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder, environment

if TYPE_CHECKING:
    from torch import nn

    from voxaffect.export import Exported

UNCERTAIN_ACCURACY = 0.5
"""An answer is called uncertain where answers of its confidence or less were right at most this often."""


def release(run: Path, output: Path, *, evidence: Path | None = None) -> Exported:
    """Write the trained members of `run` as the model file `output`, and its card beside it as .md.

    Temperature and the threshold of uncertainty are fitted on dev speakers: those of `evidence` where it is given
    (there are more of them), else those of `run`.

    Raises:
        ArtefactError: `no_weights`: the run holds no finished, trained parts; `parity` as `voxaffect.export`.
        UsageError: `other_recipe`: the evidence was trained with another recipe than the run.
    """
    from voxaffect.export import export
    from voxaffect.model import CoAttention

    recipe = RunFolder(run).recipe
    folds = _finished_folds(run)
    places = [RunFolder(run).part(fold["seed"], fold["name"]) / "model" for fold in folds]
    evaluation = None
    if evidence is not None:
        _check_same(recipe, RunFolder(evidence).recipe, evidence)
        evaluation = evaluate(read_run(evidence))
    dev = dev_predictions(evidence or run)
    logits = np.log(np.maximum(np.concatenate([p.probs for p in dev]), 1e-12))
    truth = np.concatenate([p.truth for p in dev])
    temperature = round(fit_temperature(logits, truth), 4)
    probs = softmax(logits, temperature)
    threshold = certainty_threshold(probs.max(axis=1), probs.argmax(axis=1) == truth, UNCERTAIN_ACCURACY)
    card = _card(recipe, len(places), temperature, threshold, evaluation)
    metadata: dict[str, Any] = {
        "schema": SCHEMA,
        "name": recipe.card.name or recipe.name,
        "version": recipe.card.version,
        "labels": list(recipe.data.labels),
        "vote": "majority",
        "licence": recipe.card.licence,
        "features": FeatureOptions.from_dict(recipe.features).to_dict(),
        "calibration": {"temperature": temperature},
        "uncertain_below": round(threshold, 4),
        "created_with": environment()["versions"],
        "training": {
            "recipe": recipe.name,
            "digest": recipe.digest,
            "commit": json.loads((run / "environment.json").read_text(encoding="utf-8"))["commit"],
            "corpora": list(recipe.data.corpora),
            "members": [{"seed": fold["seed"], "dev_speakers": fold["dev"]} for fold in folds],
        },
        "card": card,
    }
    members: list[nn.Module] = (
        _probes(recipe, places)
        if recipe.model_kind == "probe"
        else [CoAttention.load(place) for place in places]
    )
    exported = export(members, output, metadata=metadata)
    write_text(output.with_suffix(".md"), card)
    return exported


def dev_predictions(run: Path) -> list[Predictions]:
    """What each part of `run` said of its dev speakers (a speaker may be dev speaker of several folds)."""
    return [read_csv(path) for path in sorted(run.glob("parts/*/dev_predictions.csv"))]


def _finished_folds(run: Path) -> list[dict[str, Any]]:
    """The folds of `run`, in its own order, once every one of them has its trained weights."""
    file = run / "folds.json"
    folds: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    places = [RunFolder(run).part(fold["seed"], fold["name"]) for fold in folds]
    whole = [p for p in places if (p / "done.json").is_file() and (p / "model/model.safetensors").is_file()]
    if not folds or whole != places:
        raise ArtefactError(
            "no_weights",
            f"{run} holds {len(whole)} of {len(folds)} trained members",
            hint="finish it with voxaffect train --resume; probes keep theirs where protocol.folds = 'all-speakers'",
        )
    return folds


def _probes(recipe: Recipe, places: Sequence[Path]) -> list[nn.Module]:
    """The probes in `places`, on the one encoder that the recipe names."""
    from voxaffect.preparation import Encoders, located
    from voxaffect.probe import read_probe_options
    from voxaffect.probe_file import load_probe

    speech = Encoders().get(read_probe_options(located(recipe))[1]).eval()
    return [load_probe(place, speech) for place in places]


def _check_same(recipe: Recipe, other: Recipe, where: Path) -> None:
    if replace(recipe, protocol=other.protocol, name=other.name).digest != other.digest:
        raise UsageError(
            "other_recipe",
            f"{where} was trained with another recipe than the run",
            hint="they may differ in [protocol] alone",
        )


def _card(
    recipe: Recipe, n_members: int, temperature: float, threshold: float, evaluation: Evaluation | None
) -> str:
    prose = recipe.resolve(recipe.card.text).read_text(encoding="utf-8") if recipe.card.text else ""
    lines = [
        f"# {recipe.card.name or recipe.name} {recipe.card.version}",
        "",
        prose.strip(),
        "",
        "## What was measured",
        "",
    ]
    if evaluation is None:
        lines += ["Nothing: this file was released without a run on held-out speakers.", ""]
    else:
        lines += _figures(recipe, evaluation)
    lines += [
        "## Inside",
        "",
        f"- labels: {', '.join(recipe.data.labels)}",
        f"- members: {n_members}, majority vote, a tie goes to the higher mean probability",
        f"- corpora: {', '.join(recipe.data.corpora)}",
        f"- licence: {recipe.card.licence}",
        f"- temperature {temperature:g}, fitted on dev speakers; an answer below {threshold:.2f} is called "
        "uncertain: on dev speakers, answers of that confidence or less were right half of the time at most",
        f"- made on {datetime.now(UTC).date().isoformat()} from the recipe {recipe.name} ({recipe.digest[:12]})",
        "",
    ]
    return "\n".join(lines)


def _figures(recipe: Recipe, evaluation: Evaluation) -> list[str]:
    lines = [
        f"The recipe `{recipe.name}` trained anew with whole speakers held out: {evaluation.n_utterances} "
        f"utterances of {len(evaluation.speakers)} speakers, each judged by a model that never heard that speaker. "
        "Intervals (95 %) resample speakers.",
        "",
        "| measure | % | interval | always the largest class |",
        "|---|---|---|---|",
    ]
    for name, interval in evaluation.measures.items():
        low, high = 100 * interval.low, 100 * interval.high
        chance = 100 * evaluation.baseline.measures[name]
        lines.append(f"| {name} | {100 * interval.value:.1f} | {low:.1f} to {high:.1f} | {chance:.1f} |")
    lines += ["", "| class | utterances | recall, % | precision, % |", "|---|---|---|---|"]
    for row in (asdict(c) for c in evaluation.classes):
        lines.append(
            f"| {row['label']} | {row['n']} | {100 * row['recall']:.1f} | {100 * row['precision']:.1f} |"
        )
    return [*lines, ""]
