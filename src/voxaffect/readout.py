"""The classes of a model that learned from its teacher alone: closed form on statistics of its branches' states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from voxaffect.adaptation import enrol, fit_gauge, fit_voice
from voxaffect.adapted_kernel import AdaptedKernel, head_of
from voxaffect.closed_form import KernelRidge, dealt, joined_votes
from voxaffect.errors import UsageError
from voxaffect.examples import ExampleStore, Item
from voxaffect.features import SAMPLE_RATE
from voxaffect.fit import in_batches
from voxaffect.model import CoAttention
from voxaffect.protocol_options import AdaptationOptions
from voxaffect.transduction import rows_of, unit_of


@dataclass(frozen=True, eq=False)
class Pieces:
    """What a model hears of utterances, segment by segment.

    `statistics` (n, D) of its states, the number `owners` (n,) of the utterance that each segment is of, its
    `seconds` (n,), and whether it is of the recording itself, `original` (n,), or of an altered copy.
    """

    statistics: np.ndarray
    owners: np.ndarray
    seconds: np.ndarray
    original: np.ndarray


def fit_readout(
    model: CoAttention, store: ExampleStore, train: Sequence[int], dev: Sequence[int], seed: int, device: str
) -> tuple[dict[str, float], Pieces, Pieces]:
    """Fit the head of `model` on positions `train` of `store`, their altered copies too; `dev` chooses the penalty.

    Returns what `KernelRidge.fit` does, and what was heard of both. Utterances are taken by the segments that answers
    are made of, copies whole. Of several members each is fitted without a share of the training speakers.
    """
    heard = listen(model, store, train, device, altered=True)
    judged = listen(model, store, dev, device)
    targets = store.targets
    report = head_of(model).fit(
        heard.statistics,
        targets[list(train)][heard.owners],
        judged.statistics,
        targets[list(dev)][judged.owners],
        seed,
        _shares(model, store, train)[heard.owners],
        _corpora(store, train)[heard.owners],
        heard.original,
    )
    return report, heard, judged


def fit_adapted_readout(
    model: CoAttention,
    store: ExampleStore,
    train: Sequence[int],
    dev: Sequence[int],
    heard: Pieces,
    judged: Pieces,
    options: AdaptationOptions,
    seed: int,
) -> tuple[AdaptedKernel, dict[str, float]]:
    """`model`, whose head `fit_readout` has fitted on what it `heard` and `judged`, made to adapt; and what was chosen.

    What a training voice adds is found as it would be of a new one: from the answers of the members that were fitted
    without it.

    Raises:
        UsageError: `no_adaptation` where the utterances do not tell a unit's classes from its voice, or the model has
            a single member.
    """
    head = head_of(model)
    if head.options.members < 2:
        raise UsageError(
            "no_adaptation",
            "a single member has no answers about training speakers that it was fitted without",
            hint="set model.kernel.members = 7",
        )
    own = np.flatnonzero(heard.original)
    of_row = np.array([unit_of(store.table[row], options.unit) for row in train])
    units = of_row[heard.owners]
    targets = store.targets[list(train)][heard.owners]
    shares = _shares(model, store, train)[heard.owners]
    with torch.inference_mode():
        votes = head.cpu().votes(torch.from_numpy(heard.statistics[own]).float()).log_softmax(-1)
    blind = votes.double().numpy()[np.arange(len(own)), shares[own]]
    x = heard.statistics.astype(np.float64)
    try:
        gauge = fit_gauge(blind, targets[own], [*units[own]])
        voice = fit_voice(x[own], targets[own], [*units[own]], head.n_classes, options.shrinkage)
    except ValueError as error:
        raise UsageError("no_adaptation", f"there is nothing to adapt by: {error}") from error
    for unit, rows in rows_of([*units[own]]).items():
        enrolment = enrol(x[own[rows]], blind[rows], heard.seconds[own[rows]], gauge)
        x[units == unit] -= voice.offset(enrolment)
    corpora = _corpora(store, train)[heard.owners]
    centred = KernelRidge(head.sizes, head.n_classes, head.options)
    adapted = AdaptedKernel(model, centred, voice, gauge, options.unit)
    asked = judged.statistics.astype(np.float64)
    log_probs = plain_answers(adapted, judged)
    names = [unit_of(store.table[row], options.unit) for row in dev]
    for rows in rows_of([names[owner] for owner in judged.owners]).values():
        asked[rows] -= voice.offset(enrol(asked[rows], log_probs[rows], judged.seconds[rows], gauge))
    report = centred.fit(
        x, targets, asked, store.targets[list(dev)][judged.owners], seed, shares, corpora, heard.original
    )
    return adapted.eval(), report


def listen(
    model: CoAttention, store: ExampleStore, rows: Sequence[int], device: str, *, altered: bool = False
) -> Pieces:
    """What `model` hears of utterances `rows` of `store`, and of their altered copies."""
    model.eval().to(device)
    owned: list[tuple[int, bool, Item]] = []
    for number, row in enumerate(rows):
        owned += [(number, True, item) for item in store.judged(row)]
        owned += [(number, False, item) for item in (store.altered(row) if altered else ())]
    statistics: list[np.ndarray] = [np.empty(0)] * len(owned)
    for i, vector in in_batches(model.embed, [item for *_, item in owned], device):
        statistics[i] = vector
    return Pieces(
        np.stack(statistics),
        np.array([number for number, *_ in owned]),
        np.array([int(item["n_samples"]) / SAMPLE_RATE for *_, item in owned]),
        np.array([original for _, original, _ in owned]),
    )


def plain_answers(model: AdaptedKernel, pieces: Pieces) -> np.ndarray:
    """The plain log-probabilities (n, K) of `pieces`."""
    with torch.inference_mode():
        votes = head_of(model.plain).cpu().votes(torch.from_numpy(pieces.statistics).float())
        return np.asarray(joined_votes(votes).double().numpy())


def _shares(model: CoAttention, store: ExampleStore, rows: Sequence[int]) -> np.ndarray:
    """The share of the training speakers that each utterance is in, one share for each member."""
    return dealt([store.table[row].speaker for row in rows], model.n_members)


def _corpora(store: ExampleStore, rows: Sequence[int]) -> np.ndarray:
    return np.array([store.table[row].corpus for row in rows])
