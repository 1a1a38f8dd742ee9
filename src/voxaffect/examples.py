"""From a table of utterances to what a model trains on and is judged on: features, copies, encoder states.

Everything that does not change between epochs and folds is computed once: audio, features, altered copies, and
the states of frozen encoders (kept on disk by content, see `voxaffect.cache`). Of a corpus that holds features in
place of recordings, segments are read from its file whenever they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from voxaffect import corpora
from voxaffect.augmentation import altered_copy, mask_features
from voxaffect.cache import ArrayCache, content_key
from voxaffect.errors import CorpusError, UsageError
from voxaffect.features import HOP_LENGTH, PUBLISHED, SAMPLE_RATE, FeatureOptions, extract, segments
from voxaffect.recipe import AugmentationOptions, SurroundingsOptions
from voxaffect.surroundings import TEACHER_STEP, drawn_cut, surrounded
from voxaffect.table import Utterance, UtteranceTable

if TYPE_CHECKING:
    from voxaffect.encoders import Cacheable
    from voxaffect.encoders.speech import SpeechEncoder

Item = dict[str, np.ndarray]
"""Named feature arrays, time first, and `n_samples`; for frozen encoders their states, float16: `speech_states`
(T', L, D), `spectrogram_states` (P, D)."""

UNLABELLED = -100
"""The class number of an utterance whose label is none of the model's: a teacher may speak of it, truth does not."""

MAX_SECONDS = 60.0
"""Longer utterances are refused in training: they are more likely a wrong index than an utterance."""


@dataclass
class ExampleStore:
    """Features of the utterances of a table, by position in the table.

    `labels` gives the class numbers. `inputs` are the features that the model reads besides the states of its
    `frozen` encoders, which are computed here, once. `teacher` gives training items, and only those, the array
    `teacher` (T', D) float16, the mean of its `teacher_layers`, and the state `teacher_start` that it begins with.
    """

    table: UtteranceTable
    labels: tuple[str, ...]
    options: FeatureOptions
    inputs: tuple[str, ...]
    augmentation: AugmentationOptions
    frozen: tuple[Cacheable, ...]
    cache: ArrayCache
    surroundings: SurroundingsOptions = field(default_factory=SurroundingsOptions)
    teacher: SpeechEncoder | None = None
    teacher_layers: tuple[int, ...] = ()
    seed: int = 0
    pooled: dict[object, Any] = field(default_factory=dict)
    """What parts derive from all utterances alike, kept for the next part."""
    _judged: dict[int, Sequence[Item]] = field(default_factory=dict)
    _trained: dict[int, list[Sequence[Item]]] = field(default_factory=dict)
    _surrounded: dict[int, list[Sequence[Item]]] = field(default_factory=dict)

    @property
    def targets(self) -> np.ndarray:
        """(N,) int64 class numbers, UNLABELLED where the label is none of `labels`."""
        number = {label: k for k, label in enumerate(self.labels)}
        return np.array([number.get(u.label, UNLABELLED) for u in self.table], dtype=np.int64)

    @property
    def _cropped(self) -> bool:
        """Whether training sees random crops of whole utterances rather than the very segments that are judged."""
        return self.options.segmentation == "windows" and self.options.window > 0

    def prepare(self, progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> None:
        """Compute everything for all utterances; `progress` wraps the loop over positions."""
        for index in progress(range(len(self.table))):
            stored = corpora.stored_segments(self.table[index])
            if stored is not None:
                self._judged[index] = kept = self._stored(self.table[index], stored)
                self._trained[index] = [kept]
                continue
            waveform = read_utterance(self.table[index])
            self._judged[index] = judged = self._segments(waveform)
            self._trained[index] = [self._training_items(waveform, None if self._cropped else judged)]
            self._surround(index, waveform, 0)
            for copy in range(self.augmentation.copies):
                rng = np.random.default_rng([self.seed, index, copy])
                altered = altered_copy(waveform, self.augmentation, rng)
                self._trained[index].append(self._training_items(altered))
                self._surround(index, altered, copy + 1)

    def _surround(self, index: int, waveform: np.ndarray, copy: int) -> None:
        """Add the versions in rooms and noises of what the last of the items of utterance `index` are of."""
        (*_, plain) = self._trained[index]
        versions = []
        for version in range(self.surroundings.versions):
            rng = np.random.default_rng([self.seed, index, copy, version])
            start, end = drawn_cut(waveform, self.surroundings, rng)
            heard = surrounded(waveform[start:end], self.surroundings, rng)
            items = self._whole(heard) if self._cropped else self._segments(heard)
            if self.teacher is not None:
                first, last = start // TEACHER_STEP, -(-end // TEACHER_STEP)
                items = [
                    {
                        **items[0],
                        "teacher": plain[0]["teacher"][first:last],
                        "teacher_start": plain[0]["teacher_start"] + first,
                    }
                ]
            versions.append(items)
        self._surrounded.setdefault(index, []).extend(versions)

    def hear(self, index: int, waveform: np.ndarray) -> None:
        """Take `waveform` (N,), not the recording, for what is judged of utterance `index`."""
        self._judged[index] = self._segments(waveform)

    def narrowed(self, inputs: tuple[str, ...], frozen: tuple[Cacheable, ...]) -> ExampleStore:
        """The same examples for a model that reads fewer `inputs`, or states of fewer `frozen` encoders.

        What is prepared is shared, not copied; a model gets the very items that a store of its own would give it.
        """
        return replace(self, inputs=inputs, frozen=frozen)

    def judged(self, index: int) -> Sequence[Item]:
        """The segments that dev and test answers of utterance `index` are made of, as in prediction."""
        return [self._wanted(item) for item in self._judged[index]]

    def training_keys(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """(position, segment) of everything that one epoch over `indices` sees."""
        return [(i, s) for i in indices for s in range(len(self._trained[i][0]))]

    def training_item(self, key: tuple[int, int], rng: np.random.Generator) -> Item:
        """One training item: a random copy, a random crop of one window if utterances are windowed, random masks."""
        index, segment = key
        copies = [*self._trained[index], *self._surrounded.get(index, ())]
        chosen = copies[int(rng.integers(len(copies)))]
        item = self._wanted(chosen[min(segment, len(chosen) - 1)])
        if self._cropped:
            item = crop(item, self.options.window, rng)
        return mask_features(item, self.augmentation, rng)

    def whole(self, index: int) -> Item:
        """What training knows of utterance `index`, uncropped and unmasked."""
        return self._wanted(self._trained[index][0][0])

    @property
    def n_altered(self) -> int:
        """How many altered copies and surrounded versions each utterance has."""
        copies, versions = self.augmentation.copies, self.surroundings.versions
        return copies + (copies + 1) * versions

    def altered(self, index: int) -> Sequence[Item]:
        """Copies and versions of utterance `index`, uncropped and unmasked, without what a teacher says of them."""
        others = [*self._trained[index][1:], *self._surrounded.get(index, ())]
        copies = [self._wanted(item) for copy in others for item in copy]
        taught = ("teacher", "teacher_start")
        return [{name: values for name, values in item.items() if name not in taught} for item in copies]

    def taught(self, index: int) -> list[np.ndarray]:
        """What the teacher makes of utterance `index` and its copies: (T', D) float32 each, uncropped."""
        return [copy[0]["teacher"].astype(np.float32) for copy in self._trained[index]]

    def _stored(self, utterance: Utterance, stored: Sequence[Mapping[str, np.ndarray]]) -> Sequence[Item]:
        """The segments that a corpus holds in place of a recording; refused where the recipe needs more than that."""
        available = [name for name in stored[0] if name != "n_samples"]
        missing = [name for name in self._feature_inputs() if name not in available]
        wanted = (
            ('[features] preset = "published"', self.options != PUBLISHED),
            ("[augmentation] copies = 0", self.augmentation.copies > 0),
            ("no [distillation]", self.teacher is not None),
            (f"a model that takes {available}, not {missing}", bool(missing)),
        )
        if needs := [text for text, wrong in wanted if wrong]:
            raise UsageError(
                "stored_features",
                f"{utterance.corpus!r} holds the published features, not recordings; it needs {' and '.join(needs)}",
            )
        states = [self._states(dict(item)) for item in stored] if self.frozen else ()
        return _StoredItems(stored, self.inputs, states)

    def _training_items(self, waveform: np.ndarray, segments: Sequence[Item] | None = None) -> Sequence[Item]:
        """What training draws from: whole utterances where it crops, else `segments` (computed if not given)."""
        items = self._whole(waveform) if self._cropped else segments or self._segments(waveform)
        if self.teacher is None:
            return items
        if len(items) != 1:
            raise UsageError("bad_value", "distillation takes whole utterances or random crops of them")
        taught = {"teacher": self._taught(self.teacher, waveform), "teacher_start": np.array(0, np.int64)}
        return [{**items[0], **taught}]

    def _taught(self, teacher: SpeechEncoder, waveform: np.ndarray) -> np.ndarray:
        layers = ",".join(map(str, self.teacher_layers))
        key = content_key("teacher/1", teacher.digest, layers, waveform.tobytes())

        def states() -> np.ndarray:
            item = extract(waveform, self.options, teacher.inputs)
            every = teacher.numpy_states({**item, "n_samples": np.array(len(waveform), np.int64)})
            mean = every[:, list(self.teacher_layers)].mean(axis=1, dtype=np.float32)
            return np.asarray(mean, dtype=np.float16)

        found = self.cache.get(key, states)
        # Some encoders give one state less than there are pairs of hops; a gap would be padding taken for a state.
        missing = -(-(len(waveform) // HOP_LENGTH) // 2) - len(found)
        return np.concatenate([found, np.repeat(found[-1:], missing, axis=0)]) if missing > 0 else found

    def _segments(self, waveform: np.ndarray) -> list[Item]:
        return [self._with_states(item) for item in segments(waveform, self.options, self._feature_inputs())]

    def _whole(self, waveform: np.ndarray) -> list[Item]:
        item = extract(waveform, self.options, self._feature_inputs())
        return [{**item, "n_samples": np.array(len(waveform), np.int64)}]

    def _wanted(self, item: Item) -> Item:
        """`item` without what only others read; masks are then drawn as if it had never been there."""
        wanted = {*self.inputs, "n_samples", "teacher", "teacher_start"}
        for encoder in self.frozen:
            # Where training crops, the encoder is given its own features.
            wanted |= {encoder.states_name} if encoder.states_name in item else {*encoder.inputs}
        return {name: values for name, values in item.items() if name in wanted}

    def _feature_inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.inputs, *(name for e in self.frozen for name in e.inputs))))

    def _with_states(self, item: Item) -> Item:
        kept = {name: values for name, values in item.items() if name in self.inputs or name == "n_samples"}
        return kept | self._states(item)

    def _states(self, item: Item) -> Item:
        """The states of the frozen encoders for the features `item`, by name."""
        states: Item = {}
        for encoder in self.frozen:
            source = np.ascontiguousarray(item[encoder.inputs[0]])
            key = content_key(
                f"{encoder.states_name}/2", encoder.states_key, str(int(item["n_samples"])), source.tobytes()
            )
            found = self.cache.get(key, partial(encoder.numpy_states, item))
            states[encoder.states_name] = averaged(found, encoder.stride)
        return states


class _StoredItems(Sequence[Item]):
    """Segments that stay in their corpus' file, with the states of frozen encoders where there are some."""

    def __init__(
        self,
        stored: Sequence[Mapping[str, np.ndarray]],
        inputs: tuple[str, ...],
        states: Sequence[Item],
    ) -> None:
        self._stored, self._kept, self._states = stored, (*inputs, "n_samples"), states

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        item = {name: values for name, values in self._stored[index].items() if name in self._kept}
        return item | self._states[index] if self._states else item


def crop(item: Item, window: float, rng: np.random.Generator) -> Item:
    """A random stretch of `window` seconds of the whole-utterance features `item`; shorter items stay whole."""
    n_samples = int(item["n_samples"])
    width = round(window * SAMPLE_RATE)
    if n_samples <= width:
        return item
    # An even frame: speech states come one to two frames.
    start_frame = 2 * int(rng.integers(0, (n_samples - width) // (2 * HOP_LENGTH) + 1))
    start = start_frame * HOP_LENGTH
    cut: Item = {"n_samples": np.array(width, np.int64)}
    for name, values in item.items():
        if name == "waveform":
            cut[name] = values[start : start + width]
        elif name == "teacher":
            cut[name] = values[start_frame // 2 : (start_frame + width // HOP_LENGTH + 1) // 2]
        elif name == "teacher_start":
            cut[name] = values + start_frame // 2
        elif name == "log_mel":
            cut[name] = values[start_frame : start_frame + width // HOP_LENGTH]
        elif name in ("spectrogram", "mfcc"):
            cut[name] = values[start_frame : start_frame + 1 + width // HOP_LENGTH]
    return cut


def averaged(states: np.ndarray, stride: int) -> np.ndarray:
    """The means of `stride` neighbours of states (T, ...) float16, time first; the last is of what is left."""
    if stride == 1:
        return states
    starts = np.arange(0, len(states), stride)
    sums = np.add.reduceat(states.astype(np.float32), starts, axis=0)
    counts = np.minimum(stride, len(states) - starts).astype(np.float32)
    return np.asarray(sums / counts.reshape(-1, *[1] * (states.ndim - 1)), dtype=states.dtype)


def read_utterance(utterance: Utterance) -> np.ndarray:
    """The samples of `utterance`: (N,) float32 mono at 16 kHz, channels averaged."""
    from voxaffect.audio import mono, read_audio

    audio = read_audio(
        utterance.path, start=utterance.start or 0.0, end=utterance.end, max_seconds=MAX_SECONDS
    )
    samples = mono(audio.samples)
    if not len(samples):
        raise CorpusError("no_audio", f"utterance {utterance.id!r} has no samples", where=str(utterance.path))
    return samples
