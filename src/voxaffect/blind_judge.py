"""The models of a finished run on altered test audio: each is asked only about speakers that it never saw.

What is drawn for an utterance depends on the seed, the condition and the utterance alone, so that the same questions
get the same answers whatever else is asked, and in whatever order.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxaffect import corpora
from voxaffect.degradation import Array, Condition, Voices
from voxaffect.errors import ArtefactError, CorpusError, UsageError
from voxaffect.parallel import Progress
from voxaffect.predictions import Predictions, concat
from voxaffect.recipe import AugmentationOptions, Recipe
from voxaffect.run import RunFolder
from voxaffect.table import UtteranceTable
from voxaffect.trainings import Training, read_trainings
from voxaffect.voting import members_decide

if TYPE_CHECKING:
    from torch import nn

    from voxaffect.encoders import Cacheable

N_VOICES = 24
"""Clips of training speakers that the noises of a fold are made of."""
CHUNK = 64
"""Utterances whose features are held at a time."""


@dataclass(frozen=True)
class BlindJudge:
    """The models of a run and what they are asked about.

    `rows` are, of each training, the rows of the table that it tests. `voices` are, by row, clips of speakers who train
    in the first of the trainings that test it: noises are made of them.
    """

    recipe: Recipe
    table: UtteranceTable
    trainings: tuple[Training, ...]
    models: tuple[nn.Module, ...]
    inputs: tuple[str, ...]
    frozen: tuple[Cacheable, ...]
    rows: tuple[tuple[int, ...], ...]
    voices: Mapping[int, Voices]
    seed: int
    device: str

    @classmethod
    def of(
        cls,
        run: Path,
        recipe: Recipe,
        trainings: tuple[Training, ...],
        table: UtteranceTable,
        *,
        per_speaker: int,
        seed: int,
        device: str,
    ) -> BlindJudge:
        """The judge of at most `per_speaker` utterances of each speaker of `table` (0: all).

        Raises:
            UsageError: `stored_features` where the corpus holds no recordings.
            CorpusError: `no_test_speakers`.
            ArtefactError: what reading the models raises.
        """
        from voxaffect.model import CoAttention
        from voxaffect.preparation import Encoders, needs_of

        if corpora.stored_segments(table[0]) is not None:
            raise UsageError(
                "stored_features", f"{table[0].corpus!r} holds features, not recordings that could be altered"
            )
        kept = chosen(table, per_speaker, seed)
        parts = [t.rows(table.ids, [u.speaker for u in table]) for t in trainings]
        rows = tuple(tuple(row for row in part["test"] if row in kept) for part in parts)
        if not any(rows):
            raise CorpusError(
                "no_test_speakers", f"no test utterance of {run} is in {[*recipe.data.corpora]}"
            )
        voices: dict[int, Voices] = {}
        for part, tested in zip(parts, rows, strict=True):
            new = [row for row in tested if row not in voices]
            if new:
                voices |= dict.fromkeys(new, _voices(table, part["train"], seed))
        needs = needs_of(recipe, Encoders())
        folder = RunFolder(run)
        models = [CoAttention.load(folder.part(t.seed, t.fold) / "model").to(device) for t in trainings]
        return cls(
            recipe, table, trainings, tuple(models), needs.inputs, needs.frozen, rows, voices, seed, device
        )

    def answers(self, condition: Condition, progress: Progress) -> Predictions:
        """What each training says of the utterances that it tests under `condition`."""
        found: dict[int, list[Predictions]] = defaultdict(list)
        every = list(self.voices)  # in the order of the trainings that test them
        for start in range(0, len(every), CHUNK):
            chunk = every[start : start + CHUNK]
            for number, part in self._chunk(condition, chunk):
                found[number].append(part)
            progress(len(chunk), condition.name)
        return concat([part for number in sorted(found) for part in found[number]]).sorted()

    def _chunk(self, condition: Condition, chunk: Sequence[int]) -> list[tuple[int, Predictions]]:
        from voxaffect.cache import ArrayCache
        from voxaffect.examples import ExampleStore, read_utterance
        from voxaffect.feature_options import FeatureOptions
        from voxaffect.fit import member_log_probabilities

        table = UtteranceTable(tuple(self.table[row] for row in chunk))
        labels = self.recipe.data.labels
        features = FeatureOptions.from_dict(self.recipe.features)
        store = ExampleStore(
            table, labels, features, self.inputs, AugmentationOptions(), self.frozen, ArrayCache(None)
        )
        for i, row in enumerate(chunk):
            rng = generator(self.seed, condition.name, table[i].id)
            store.hear(i, condition.alter(read_utterance(table[i]), rng, self.voices[row]))
        parts = []
        for number, (training, model) in enumerate(zip(self.trainings, self.models, strict=True)):
            tested = set(self.rows[number])
            indices = [i for i, row in enumerate(chunk) if row in tested]
            if not indices:
                continue
            decided = members_decide(member_log_probabilities(model, store, indices, self.device))
            predictions = Predictions(
                ids=tuple(table[i].id for i in indices),
                speakers=tuple(table[i].speaker for i in indices),
                folds=(training.fold,) * len(indices),
                labels=labels,
                truth=store.targets[indices],
                probs=decided.probs,
                seeds=(training.seed,) * len(indices),
                decisions=decided.winners,
            )
            parts.append((number, predictions))
        return parts


def finished_trainings(run: Path, recipe: Recipe) -> tuple[Training, ...]:
    """The trainings of `run` that test someone, once each of them has its weights.

    Raises:
        CorpusError: `no_test_speakers`.
        ArtefactError: `no_weights`, and what `voxaffect.trainings.read_trainings` raises.
    """
    trainings = tuple(t for t in read_trainings(run) if t.test or t.utterances.get("test"))
    if not trainings:
        raise CorpusError(
            "no_test_speakers",
            f"{run} tests no speaker",
            hint="take a run with folds: a model of all speakers has no one left to be judged on",
        )
    folder = RunFolder(run)
    places = [folder.part(t.seed, t.fold) for t in trainings]
    whole = [p for p in places if (p / "done.json").is_file() and (p / "model/model.safetensors").is_file()]
    if whole != places:
        raise ArtefactError(
            "no_weights",
            f"{run} holds {len(whole)} of {len(places)} trained models in parts/",
            hint="a probe keeps none"
            if recipe.model_kind == "probe"
            else "finish it with voxaffect train --resume",
        )
    return trainings


def chosen(table: UtteranceTable, per_speaker: int, seed: int) -> set[int]:
    """The rows of at most `per_speaker` utterances of each speaker (0: all), drawn, each speaker's classes in turn."""
    if not per_speaker:
        return set(range(len(table)))
    queues: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(range(len(table)), key=lambda row: table[row].id):
        queues[table[row].speaker][table[row].label].append(row)
    kept: set[int] = set()
    for speaker, by_label in sorted(queues.items()):
        rng = random.Random(f"robustness {seed} {speaker}")
        for queue in by_label.values():
            rng.shuffle(queue)
        turns = [
            row for place in range(per_speaker) for q in by_label.values() for row in q[place : place + 1]
        ]
        kept.update(turns[:per_speaker])
    return kept


def generator(seed: int, condition: str, utterance: str) -> np.random.Generator:
    """The generator of what is drawn for one utterance under one condition."""
    digest = hashlib.sha256(f"{seed}\n{condition}\n{utterance}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _voices(table: UtteranceTable, train: Sequence[int], seed: int) -> list[Array]:
    from voxaffect.examples import read_utterance

    rows = sorted(train, key=lambda row: table[row].id)
    drawn = random.Random(f"voices {seed}").sample(rows, min(N_VOICES, len(rows)))
    return [read_utterance(table[row]) for row in drawn]
