"""A model file calibrated anew on labelled clips: its temperature and threshold fitted there, its weights as before.

A model is as sure as it was taught to be among the recordings that it was trained on; elsewhere it errs more often and
is no less sure. Some thirty labelled clips of the place where it is to be used tell how sure it may be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxaffect import corpora, onnx_fields
from voxaffect.calibrated_vote import LINE_START, Calibration, Said, calibrated
from voxaffect.errors import CorpusError, UsageError
from voxaffect.files import refuse_existing, write_bytes, write_text
from voxaffect.modelfile import ModelFile, described, write_digest
from voxaffect.predictor import Predictor
from voxaffect.table import Utterance

LEAST = 30
"""Answers below which a temperature would be little more than chance."""
FOLDER = "folder"
"""The corpus that clips of one's own are."""

Progress = Callable[[Sequence[Utterance]], Iterable[Utterance]]
"""Wraps the loop over clips."""


@dataclass(frozen=True)
class Recalibrated:
    """What `recalibrate` made: the file, its calibration, and of the one before temperature and error on these clips.

    `skipped` says how many clips had no speech or a label that the model does not know.
    """

    path: Path
    calibration: Calibration
    temperature_before: float
    ece_before: float
    skipped: int

    @property
    def far_surer(self) -> bool:
        """Whether it is so much surer than before that it may have been trained on the very speakers of the clips."""
        return self.calibration.temperature < 0.5 * self.temperature_before


def recalibrate(
    model: ModelFile,
    clips: str,
    output: Path,
    *,
    version: str | None = None,
    overwrite: bool = False,
    progress: Progress = iter,
) -> Recalibrated:
    """Write `model`, calibrated on `clips` whose labels are known, as `output`, and its card beside it as .md.

    `clips` is a folder of LABEL/SPEAKER/ or with a CSV (see the corpus `folder`), or CORPUS=DIR. They are heard as
    `predict` hears them. `version` is by default the model's own and "+calibrated".

    Raises:
        UsageError: `output_exists`, `unknown_corpus`, `too_few` clips that have an answer.
        CorpusError: clips that are not there or not labelled; AudioError: one that cannot be read.
        ResourceError: the file cannot be written.
    """
    card_file = output.with_suffix(".md")
    if not overwrite:
        refuse_existing(output, card_file)
    corpus, root = clips.split("=", 1) if "=" in clips else (FOLDER, clips)
    table = corpora.read(corpus, Path(root))
    said = _said(model, [u for u in table if u.label in model.labels], progress)
    n = len(said.groups)
    if n < LEAST:
        raise UsageError(
            "too_few",
            f"{n} of {len(table)} clips in {root} have speech and a label that {model.name} knows; "
            f"at least {LEAST} are needed",
            hint=f"its labels are {', '.join(model.labels)}",
        )
    made = calibrated(said)
    changed = _described(model, made, Path(root).name or corpus, version or f"{model.version}+calibrated")
    write_bytes(output, write_digest(onnx_fields.with_metadata(model.data, described(changed))))
    write_text(card_file, changed["card"])
    before = model.temperature
    return Recalibrated(output, made, before, said.ece(before), len(table) - n)


def _said(model: ModelFile, clips: Sequence[Utterance], progress: Progress) -> Said:
    """What all members say of those of `clips` in which there is speech."""
    if clips and corpora.stored_segments(clips[0]) is not None:
        raise CorpusError("no_audio", f"{clips[0].corpus!r} holds features in place of recordings")
    predictor = Predictor(model)
    log_probs, truth = [], []
    for clip in progress(clips):
        hearing = predictor.hear(clip.path, start=clip.start or 0.0, end=clip.end)
        for _ in hearing.events():
            pass
        if hearing.log_probs is not None:
            log_probs.append(hearing.log_probs)
            truth.append(model.labels.index(clip.label))
    shape = len(truth), model.members, len(model.labels)
    return Said.by_all(np.reshape(log_probs, shape), np.array(truth, np.int64))


def _described(model: ModelFile, made: Calibration, place: str, version: str) -> dict[str, Any]:
    """The model's metadata with what was `made` of the clips in `place`, its new version, and the card that says so."""
    fitted = {name: value for name, value in asdict(made).items() if name != "uncertain_below"}
    title = {f"# {model.name} {model.version}": f"# {model.name} {version}"}
    lines = [title.get(line, line) for line in model.card.splitlines()]
    said = made.line(f"{made.dev_utterances} labelled clips of {place}")
    at = max((i for i, line in enumerate(lines) if line.startswith(LINE_START)), default=None)
    if at is None:
        lines += ["", said]
    else:
        lines[at] = said
    return {
        **model.metadata,
        "version": version,
        "calibration": {**fitted, "fitted_on": place},
        "uncertain_below": made.uncertain_below,
        "card": "\n".join(lines) + "\n",
    }
