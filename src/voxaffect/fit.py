"""Fit one fold by gradient: AdamW on the training speakers, the best epoch by the dev speakers, exact resume.

An epoch is a pure function of the weights before it, the seed and its number: shuffling, augmentation and dropout
are seeded anew for each. So a run that is killed and resumed ends with the very weights of one that was not (on
one machine and device).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.errors import ResourceError
from voxaffect.examples import ExampleStore, Item
from voxaffect.features import collate
from voxaffect.metrics import confusion, ua, wa
from voxaffect.objective import Objective, class_weights
from voxaffect.recipe import TrainingOptions
from voxaffect.training_state import Borrowed, TrainingState, portable, update_average
from voxaffect.voting import log_mean

if TYPE_CHECKING:
    from voxaffect.distillation import TeacherStates

MAX_BAD_STEPS = 5
"""Steps in a row with a loss that is not finite after which training stops as diverged."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model at its best dev epoch (from 1), with one history row for each epoch."""

    model: nn.Module
    best_epoch: int
    history: tuple[dict[str, float], ...]


def fit(
    model: nn.Module,
    store: ExampleStore,
    train: Sequence[int],
    dev: Sequence[int],
    options: TrainingOptions,
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    digest: str = "",
    distiller: TeacherStates | None = None,
    on_epoch: Callable[[Sequence[dict[str, float]]], None] = lambda history: None,
) -> Fitted:
    """Train `model` on positions `train` of `store`, keep the epoch that does best on positions `dev`.

    `checkpoint` is written after each epoch and taken up if it is there; `digest` names the recipe and fold that it
    must belong to. `on_epoch` gets the whole history, a row for each epoch, after each of them. A model that learns
    from its teacher alone is judged by its distance from the teacher.

    Raises:
        ArtefactError: `checkpoint_refused`: damaged, or of another recipe.
        ResourceError: `diverged` after MAX_BAD_STEPS losses that are not finite; `out_of_memory`.
    """
    model.to(device)
    targets = torch.from_numpy(store.targets)
    keys = store.training_keys(train)
    steps_per_epoch = math.ceil(len(keys) / options.batch_size)
    groups = _parameter_groups(model, options)
    objective = Objective(model, distiller, options, store.augmentation.mixup)
    if distiller is not None:
        distiller.to(device)
        groups.append({"params": list(distiller.parameters()), "lr": options.learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay, fused=True)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    if options.class_weights:
        objective.class_weights = class_weights(store.targets[list(train)], len(store.labels)).to(device)

    state = TrainingState.load(checkpoint, digest) if checkpoint is not None else None
    if state is None:
        state = TrainingState(history=[], best={}, average={})
    else:
        model.load_state_dict(state.model, strict=False)
        if distiller is not None:
            distiller.load_state_dict(state.distiller)
        optimizer.load_state_dict(state.optimizer)
    bad = 0

    while len(state.history) < options.epochs and not _stalled(state.history, options):
        epoch = len(state.history) + 1
        torch.manual_seed(hash_seed(seed, epoch))
        rng = np.random.default_rng([seed, epoch])
        model.train()
        total = 0.0
        for step, batch_keys in enumerate(_batches(store, keys, options, rng)):
            items = [store.training_item(key, rng) for key in batch_keys]
            y = targets[[index for index, _ in batch_keys]].to(device)
            factor = _rate_factor(
                (epoch - 1) * steps_per_epoch + step, options.epochs * steps_per_epoch, options
            )
            for group, base in zip(optimizer.param_groups, base_rates, strict=True):
                group["lr"] = base * factor
            inputs = to_tensors(items, device)
            try:
                loss = objective(inputs, y, rng)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                if not _no_memory(error):
                    raise
                wanted = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
                raise ResourceError(
                    "out_of_memory",
                    f"no room for a batch of {options.batch_size} in epoch {epoch}"
                    + (f": {wanted[1]} more were asked for" if wanted else ""),
                    hint=f"try --set training.batch_size={max(1, options.batch_size // 2)}",
                ) from error
            norm = nn.utils.clip_grad_norm_(model.parameters(), options.gradient_clip or math.inf)
            step_loss = float(loss.detach())
            if not (math.isfinite(step_loss) and math.isfinite(float(norm))):
                bad += 1
                if bad >= MAX_BAD_STEPS:
                    names = ", ".join(store.table[index].id for index, _ in batch_keys[:5])
                    raise _diverged(f"{bad} steps in a row, the last with {names} …", epoch)
                continue
            bad = 0
            optimizer.step()
            if options.average_last:
                update_average(
                    state.average, model, options.average_last, (epoch - 1) * steps_per_epoch + step
                )
            total += step_loss * len(batch_keys)
        with Borrowed(model, state.average if options.average_last else {}):
            row = {
                "epoch": float(epoch),
                "train_loss": total / max(len(keys), 1),
                **_judge(objective, store, dev, device),
            }
            if not math.isfinite(row["dev_loss"]):
                raise _diverged("the dev speakers", epoch)
            state.history.append(row)
            if _best(state.history, options) == epoch - 1:
                state.best = portable(model)
        state.model, state.optimizer = portable(model), optimizer.state_dict()
        state.distiller = {} if distiller is None else distiller.state_dict()
        if checkpoint is not None:
            state.save(checkpoint, digest)
        on_epoch(state.history)

    model.load_state_dict(state.best, strict=False)
    return Fitted(model.eval(), _best(state.history, options) + 1, tuple(state.history))


def log_probabilities(
    model: nn.Module, store: ExampleStore, indices: Sequence[int], device: str = "cpu", batch_size: int = 32
) -> np.ndarray:
    """(N, K) log-probabilities: of several members, the logarithm of their mean probabilities."""
    return log_mean(member_log_probabilities(model, store, indices, device, batch_size))


def member_log_probabilities(
    model: nn.Module, store: ExampleStore, indices: Sequence[int], device: str = "cpu", batch_size: int = 32
) -> np.ndarray:
    """(N, M, K) log-probabilities: the mean over an utterance's segments of the log-softmax, normalised again.

    M is the number of members that share the model's branches, 1 of most. Source: the utterance rule of Zou et al.,
    ICASSP 2022 (arg max of the segments' mean log-softmax).
    """
    model.eval()
    owners = [(row, item) for row, index in enumerate(indices) for item in store.judged(index)]
    votes = getattr(model, "votes", None)

    def answers(inputs: dict[str, Tensor]) -> Tensor:
        logits = model(inputs).unsqueeze(1) if votes is None else votes(inputs)
        return F.log_softmax(logits, dim=-1).double()

    sums = np.zeros((len(indices), int(getattr(model, "n_members", 1)), len(store.labels)))
    counts = np.zeros((len(indices), 1, 1))
    for i, values in in_batches(answers, [item for _, item in owners], device, batch_size):
        sums[owners[i][0]] += values
        counts[owners[i][0]] += 1
    mean = sums / counts
    return np.asarray(mean - np.log(np.exp(mean).sum(axis=2, keepdims=True)))


def in_batches(
    compute: Callable[[dict[str, Tensor]], Tensor],
    items: Sequence[Item],
    device: str = "cpu",
    batch_size: int = 32,
) -> Iterator[tuple[int, np.ndarray]]:
    """The position of each of `items` and its row of what `compute` makes of a batch; like lengths share one."""
    order = sorted(range(len(items)), key=lambda i: int(items[i]["n_samples"]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        with torch.inference_mode():
            rows = compute(to_tensors([items[i] for i in chosen], device)).cpu().numpy()
        yield from zip(chosen, rows, strict=True)


def judge(
    model: nn.Module, store: ExampleStore, indices: Sequence[int], device: str = "cpu"
) -> dict[str, float]:
    """Loss, WA and UA of `model` on positions `indices`."""
    log_probs = log_probabilities(model, store, indices, device)
    truth = store.targets[list(indices)]
    counts = confusion(truth, log_probs.argmax(axis=1), len(store.labels))
    return {
        "dev_loss": float(-log_probs[np.arange(len(truth)), truth].mean()),
        "dev_wa": float(wa(counts)),
        "dev_ua": float(ua(counts)),
    }


def _judge(objective: Objective, store: ExampleStore, dev: Sequence[int], device: str) -> dict[str, float]:
    """`judge`, or only the loss of a model that learns from its teacher alone."""
    if not objective.teacher_alone:
        return judge(objective.model, store, dev, device)
    objective.model.eval()
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(dev), 32):
            rows = dev[start : start + 32]
            inputs = to_tensors([store.whole(row) for row in rows], device)
            total += float(objective.distance(inputs)) * len(rows)
    return {"dev_loss": total / max(len(dev), 1)}


def to_tensors(items: Sequence[Item], device: str = "cpu") -> dict[str, Tensor]:
    """A padded batch of `items`: (B, T, F) or (B, N) float32 on `device`; speech states as (B, L, T', D)."""
    batch = {name: torch.from_numpy(values).to(device) for name, values in collate(list(items)).items()}
    if "speech_states" in batch:
        batch["speech_states"] = batch["speech_states"].transpose(1, 2).float()
    for name in ("spectrogram_states", "teacher"):
        if name in batch:
            batch[name] = batch[name].float()
    return batch


def hash_seed(*parts: int) -> int:
    """One 63-bit seed from several whole numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _no_memory(error: RuntimeError) -> bool:
    """Whether torch found no room: it has a class for that on a GPU, and a sentence on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _diverged(where: str, epoch: int) -> ResourceError:
    return ResourceError(
        "diverged",
        f"in epoch {epoch} the loss was not finite for {where}",
        hint="try a lower --set training.learning_rate; a checkpoint of the epochs before it is kept",
    )


def _parameter_groups(model: nn.Module, options: TrainingOptions) -> list[dict[str, Any]]:
    find = getattr(model, "pretrained_parameters", list)
    pretrained = {id(parameter) for parameter in find()}
    heads = [p for p in model.parameters() if p.requires_grad and id(p) not in pretrained]
    tuned = [p for p in model.parameters() if p.requires_grad and id(p) in pretrained]
    groups = [
        {"params": heads, "lr": options.learning_rate},
        {"params": tuned, "lr": options.encoder_learning_rate},
    ]
    return [group for group in groups if group["params"]]


def _batches(
    store: ExampleStore, keys: list[tuple[int, int]], options: TrainingOptions, rng: np.random.Generator
) -> list[list[tuple[int, int]]]:
    if options.balance == "corpus":
        groups = [(store.table[index].corpus, store.table[index].label) for index, _ in keys]
        counts = Counter(groups)
        weights = np.array([1 / counts[group] for group in groups])
        order = rng.choice(len(keys), len(keys), p=weights / weights.sum())
    else:
        order = rng.permutation(len(keys))
    return [
        [keys[i] for i in order[start : start + options.batch_size]]
        for start in range(0, len(order), options.batch_size)
    ]


def _rate_factor(step: int, total: int, options: TrainingOptions) -> float:
    warmup = max(int(options.warmup * total), 1)
    if step < warmup:
        return (step + 1) / warmup
    if options.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def _score(row: dict[str, float], options: TrainingOptions) -> float:
    match options.select_by if "dev_ua" in row else "loss":
        case "ua":
            return row["dev_ua"]
        case "wa":
            return row["dev_wa"]
        case "wa+ua":
            return row["dev_wa"] + row["dev_ua"]
        case _:
            return -row["dev_loss"]


def _stalled(history: list[dict[str, float]], options: TrainingOptions) -> bool:
    """Whether `patience` epochs after the first `min_epochs` brought no gain over the best before them."""
    if len(history) < options.min_epochs + options.patience:
        return False
    return len(history) - 1 - max(_best(history, options), options.min_epochs - 1) >= options.patience


def _best(history: list[dict[str, float]], options: TrainingOptions) -> int:
    """Position of the best epoch, the first of equals."""
    scores = [_score(row, options) for row in history]
    return scores.index(max(scores))
