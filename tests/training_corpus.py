"""A tiny corpus that can be learnt, and trainings on it: pitch tells the class, level and timbre the speaker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from voxaffect.evaluation import Evaluation
    from voxaffect.recipe import Recipe

RATE = 16_000
PITCH = {"angry": 700.0, "sad": 180.0}
SPEAKERS = ("anna", "bert", "cleo", "dora", "emil", "fred")


def build(root: Path, *, clips: int = 2, seconds: float = 0.6) -> Path:
    """`root` as class-named folders of speaker folders of `clips` wav files; the same on every call."""
    rng = np.random.default_rng(0)
    for label, pitch in PITCH.items():
        for position, speaker in enumerate(SPEAKERS):
            folder = root / label / speaker
            folder.mkdir(parents=True)
            for clip in range(clips):
                n = round((seconds + 0.05 * clip) * RATE)
                time = np.arange(n) / RATE
                samples = np.sin(2 * np.pi * pitch * (1 + 0.02 * position) * time) * 0.05 * (position + 1)
                noisy = samples + 0.01 * rng.standard_normal(n)
                soundfile.write(folder / f"{speaker}_{clip}.wav", noisy.astype(np.float32), RATE)
    return root


DATA = """
[data]
corpora = ["folder"]
roots = {folder = "clips"}
labels = ["angry", "sad"]
[protocol]
folds = "speaker-groups"
groups = 2
dev_speakers = 1
"""
"""How a recipe beside `clips` begins, after its name."""

RECIPE = f"""
name = "tiny"{DATA}seeds = [1]
[features]
window = 0.5
hop = 0.25
[model]
width = 16
heads = 2
[model.mfcc]
kind = "bilstm"
hidden = 8
layers = 1
stack = 4
normalise = "standardise"
dropout = 0.1
[training]
epochs = 6
batch_size = 4
learning_rate = 2e-2
patience = 4
[augmentation]
copies = 1
gain = 3.0
time_mask = 3
"""


class Killed(BaseException):
    """Stands for a kill at this very point."""


def train(recipe: Recipe, run: Path, *, device: str = "cpu", **options: Any) -> Evaluation | None:
    """What `voxaffect.train.train` makes of `recipe`, without a word."""
    from voxaffect.train import train

    return train(recipe, run, device=device, quiet=True, **options)


def train_until_killed(
    recipe: Recipe, run: Path, monkeypatch: pytest.MonkeyPatch, *, checkpoint: int = 1, before: bool = False
) -> None:
    """Train `recipe` into `run`, killed right after its n-th `checkpoint`, or right `before` that is written."""
    from voxaffect.training_state import TrainingState

    save, calls = TrainingState.save, 0

    def save_and_die(self: TrainingState, path: Path, digest: str) -> None:
        nonlocal calls
        calls += 1
        if calls < checkpoint or not before:
            save(self, path, digest)
        if calls == checkpoint:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "save", save_and_die)
        with pytest.raises(Killed):
            train(recipe, run)
