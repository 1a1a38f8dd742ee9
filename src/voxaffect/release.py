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

from voxaffect.calibrated_vote import Calibration, Said, calibrated
from voxaffect.errors import ArtefactError, UsageError
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.feature_options import FeatureOptions
from voxaffect.files import refuse_existing, write_text
from voxaffect.modelfile import SCHEMA, VOTES
from voxaffect.predictions import Predictions, read_csv, read_run
from voxaffect.recipe import Recipe
from voxaffect.records import read_record
from voxaffect.run import RunFolder, environment

if TYPE_CHECKING:
    from torch import nn

    from voxaffect.export import Exported


def release(
    run: Path,
    output: Path,
    *,
    evidence: Path | None = None,
    overwrite: bool = False,
    half: bool = False,
) -> Exported:
    """Write the trained members of `run` as the model file `output`, and its card beside it as .md.

    Of a run they are its folds and seeds, of an ensemble those of its runs. Temperature and the threshold of
    uncertainty are fitted on dev speakers: those of `evidence` where it is given (there are more of them), else those
    of `run`. `half` keeps the weights in 16 bits.

    Raises:
        ArtefactError: `no_weights`: the run holds no finished, trained parts; `several_recipes`: the runs of an
            ensemble differ in more than their speakers; `parity` as `voxaffect.export`.
        UsageError: `output_exists`: the model file or its card is there, and `overwrite` is false; `other_recipe`: the
            evidence was trained with another recipe than the run; `bad_value`: a vote that a model file cannot hold.
    """
    card_file = output.with_suffix(".md")
    if not overwrite:
        refuse_existing(output, card_file)
    from voxaffect.adapted_kernel import load_kernel_model
    from voxaffect.export import export, n_members

    recipe, vote, runs = _members(run)
    trained = [(one, fold) for one in runs for fold in _finished_folds(one)]
    places = [RunFolder(one).part(fold["seed"], fold["name"]) / "model" for one, fold in trained]
    members: list[nn.Module] = (
        _probes(recipe, places)
        if recipe.model_kind == "probe"
        else [load_kernel_model(place) for place in places]
    )
    evaluation = None
    if evidence is not None:
        other, _, runs = _members(evidence)
        _check_same(recipe, other, evidence)
        evaluation = evaluate(read_run(evidence))
    dev = [predictions for one in runs for predictions in dev_predictions(one)]
    calibration = calibrated(Said.of(dev, n_members=len(places)))
    n = sum(map(n_members, members))
    calibration = replace(calibration, answers_each=round(calibration.answers_each * n / len(places), 2))
    card = _card(recipe, n, vote, calibration, evaluation)
    metadata: dict[str, Any] = {
        "schema": SCHEMA,
        "name": recipe.card.name or recipe.name,
        "version": recipe.card.version,
        "labels": list(recipe.data.labels),
        "vote": vote,
        "licence": recipe.card.licence,
        "features": FeatureOptions.from_dict(recipe.features).to_dict(),
        "calibration": {k: v for k, v in asdict(calibration).items() if k != "uncertain_below"},
        "uncertain_below": calibration.uncertain_below,
        "created_with": environment()["versions"],
        "training": {
            "recipe": recipe.name,
            "digest": recipe.digest,
            "commit": json.loads((trained[0][0] / "environment.json").read_text(encoding="utf-8"))["commit"],
            "corpora": list(recipe.data.corpora),
            "members": [{"seed": fold["seed"], "dev_speakers": fold["dev"]} for _, fold in trained],
        },
        "card": card,
    }
    exported = export(members, output, metadata=metadata, half=half)
    write_text(card_file, card)
    return exported


def dev_predictions(run: Path) -> list[Predictions]:
    """What each part of `run` said of its dev speakers (a speaker may be dev speaker of several folds)."""
    return [read_csv(path) for path in sorted(run.glob("parts/*/dev_predictions.csv"))]


def _members(run: Path) -> tuple[Recipe, str, list[Path]]:
    """The recipe, the vote and the runs whose parts are the members: an ensemble's, or the run itself."""
    file = run / "ensemble.json"
    if not file.is_file():
        recipe = RunFolder(run).recipe
        if recipe.variants:
            raise ArtefactError(
                "no_weights",
                f"{run} is a study of several systems",
                hint=f"name one of them: {', '.join(str(run / name) for name in recipe.variants)}",
            )
        return recipe, "majority", [run]
    ensemble = read_record(file)
    vote = ensemble.text("vote")
    if vote not in VOTES:
        raise UsageError("bad_value", f"{run} votes {vote!r}; a model file can hold one of {list(VOTES)}")
    names = [member.text("run") for member in ensemble.records("members")]
    runs = [
        run / name if (run / name).is_dir() else Path(name) for name in names
    ]  # within it, or as was given
    recipes = [RunFolder(one).recipe for one in runs]
    for one, recipe in zip(runs, recipes, strict=True):
        if _apart_from_speakers(recipe, recipes[0]).digest != recipes[0].digest:
            raise ArtefactError(
                "several_recipes",
                f"{one} was trained with another recipe than {runs[0]}",
                hint="the runs of one model may differ in their speakers alone",
            )
    return (
        RunFolder(run).recipe if (run / "recipe.json").is_file() else recipes[0],
        vote,
        list(dict.fromkeys(runs)),
    )


def _apart_from_speakers(recipe: Recipe, other: Recipe) -> Recipe:
    """`recipe` with the name, protocol and members of `other`."""
    return replace(
        recipe, name=other.name, protocol=other.protocol, members=other.members, ensemble=other.ensemble
    )


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
            hint="a probe keeps its weights where protocol.folds = 'all-speakers' alone"
            if RunFolder(run).recipe.model_kind == "probe"
            else "finish it with voxaffect train --resume",
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
    if _apart_from_speakers(recipe, other).digest != other.digest:
        raise UsageError(
            "other_recipe",
            f"{where} was trained with another recipe than the run",
            hint="they may differ in [protocol] alone",
        )


def _card(recipe: Recipe, n_members: int, vote: str, c: Calibration, evaluation: Evaluation | None) -> str:
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
        f"- members: {n_members}, "
        + (
            "mean of probabilities"
            if vote == "mean"
            else "majority vote, a tie goes to the higher mean probability"
        ),
        f"- corpora: {', '.join(recipe.data.corpora)}",
        f"- licence: {recipe.card.licence}",
        c.line(f"{c.dev_utterances} dev utterances, each answered by {c.answers_each:g} members on average"),
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
