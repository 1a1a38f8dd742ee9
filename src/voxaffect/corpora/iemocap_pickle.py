"""IEMOCAP's published features: the pickle of the co-attention method's authors, without the recordings.

Release      the download that https://github.com/Vincent-ZHQ/CA-MSER links to, or what its
             `features_extraction` makes of the full release: one `.pkl` of several gigabytes.
Paper        H. Zou, Y. Si, C. Chen, D. Rajan, E. S. Chng, "Speech Emotion Recognition with Co-Attention based
             Multi-level Acoustic Information", ICASSP 2022.
Licence      IEMOCAP's: research use by agreement with USC; not to be passed on.
Speakers     10: `1M`, `1F` … `5M`, `5F`, the actors that IEMOCAP's own names call Ses01M, Ses01F … Ses05F.
Classes      IEMOCAP's four, excited counted as happy: angry 1103, happy 1636, neutral 1708, sad 1084: 5531.
Layout       a dict by speaker of dicts of arrays: `seg_spec` (n, 1, 200, 300) float32 dB, `seg_mfcc` (n, 300, 40)
             float32, `seg_audio` (n, 48000) float32, `seg_label` (n,) int8, and for each utterance `seg_num`
             (how many of these segments it has, in order) and `utter_label`, (u,) int8. Labels: 0 angry, 1 sad,
             2 happy, 3 neutral.
Features     the preset `published`, traps included (see `voxaffect.features`): a recipe that trains on it names it.
             Nothing else can be made of it: no other window, no altered copies, no Whisper input.
Traps        A pickle can run anything when it is loaded; this one is never loaded, see `voxaffect.corpora.pickled`.
             The utterances have lost their names: they are numbered as they lie, which is the order in which the
             authors' disk happened to list the files. Neither dialogue nor text nor style is known any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np

from voxaffect.corpora import iemocap
from voxaffect.corpora.files import AudioHeader, folder
from voxaffect.corpora.info import CorpusInfo, Fact
from voxaffect.corpora.pickled import read_pickle_arrays
from voxaffect.corpora.stored_array import StoredArray
from voxaffect.errors import CorpusError
from voxaffect.feature_options import N_BINS, N_MFCC, SEGMENT_FRAMES, SEGMENT_SAMPLES
from voxaffect.spectral import HOP_LENGTH, SAMPLE_RATE
from voxaffect.table import Utterance, UtteranceTable

LABELS = ("angry", "sad", "happy", "neutral")
"""What the numbers 0 to 3 stand for."""
SPEAKERS = {f"{n}{letter}": f"Ses0{n}{letter}" for n in range(1, 6) for letter in "MF"}
"""The pickle's name of each speaker, and IEMOCAP's own."""

INFO = CorpusInfo(
    name="iemocap-pickle",
    title="IEMOCAP's published features",
    licence=iemocap.INFO.licence,
    licence_url=iemocap.INFO.licence_url,
    citation='Zou et al., "Speech Emotion Recognition with Co-Attention based Multi-level Acoustic Information", '
    "ICASSP 2022; " + iemocap.INFO.citation,
    language="en",
    url="https://github.com/Vincent-ZHQ/CA-MSER",
    labels=("angry", "happy", "neutral", "sad"),
    expected={"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084},
    n_speakers=10,
    layout="a pickle (a file that ends in .pkl or .pickle)",
    how_to_get="follow the link in that repository once you have IEMOCAP's licence; give the .pkl or its folder",
    downloadable=False,
    notes=(
        'It holds features, not recordings: train on it with preset = "published" in [features].',
        "The utterances have lost their names, dialogues and texts; they are numbered as they lie.",
        "The pickle is scanned, never loaded: nothing in it can run.",
    ),
)

_SUFFIXES = frozenset({".pkl", ".pickle"})
_FEATURES: Mapping[str, tuple[int, ...]] = {
    "seg_spec": (1, N_BINS, SEGMENT_FRAMES),
    "seg_mfcc": (SEGMENT_FRAMES, N_MFCC),
    "seg_audio": (SEGMENT_SAMPLES,),
}
_NUMBERS = ("seg_label", "seg_num", "utter_label")


@dataclass(frozen=True)
class SpeakerSegments:
    """One speaker of the pickle: n segments of 3 s, u utterances. Checked at construction.

    `spec` (n, 1, 200, 300) dB, `mfcc` (n, 300, 40) and `audio` (n, 48000) are float32 and stay in the file until
    they are read; `labels` (n,), `seg_num` (u,) and `utter_label` (u,) are int64.

    Raises:
        CorpusError: `bad_pickle` if a shape, a type, a label or a sum is wrong.
    """

    speaker: str
    spec: StoredArray
    mfcc: StoredArray
    audio: StoredArray
    labels: np.ndarray
    seg_num: np.ndarray
    utter_label: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.labels)
        for (name, rows), array in zip(_FEATURES.items(), (self.spec, self.mfcc, self.audio), strict=True):
            if array.shape != (n, *rows) or array.dtype.newbyteorder("=") != np.float32:
                raise self._wrong(
                    f"{name} is {array.shape} {array.dtype}, not {(n, *rows)} float32 as seg_label says"
                )
        if len(self.seg_num) != len(self.utter_label):
            raise self._wrong(
                f"seg_num counts {len(self.seg_num)} utterances, utter_label {len(self.utter_label)}"
            )
        if (self.seg_num < 1).any() or self.seg_num.sum() != n:
            raise self._wrong(f"seg_num adds up to {self.seg_num.sum()} of {n} segments, each at least 1")
        if not np.isin(self.utter_label, range(len(LABELS))).all():
            raise self._wrong(f"utter_label holds {sorted(set(self.utter_label.tolist()))}; expected 0 to 3")
        if not np.array_equal(self.labels, np.repeat(self.utter_label, self.seg_num)):
            raise self._wrong("seg_label is not what utter_label and seg_num say")

    @property
    def n_bytes(self) -> int:
        """The size of its features in memory."""
        return self.spec.n_bytes + self.mfcc.n_bytes + self.audio.n_bytes

    def segment(self, row: int) -> dict[str, np.ndarray]:
        """Segment `row` as the preset `published` gives it: spectrogram (300, 200), mfcc (300, 40), waveform
        (48000,), all float32, and `n_samples`.

        Raises:
            CorpusError: `not_finite`, and as `StoredArray.read`.
        """
        item = {
            "spectrogram": self.spec.read(row, row + 1)[0, 0].T,  # (F, T) -> (T, F)
            "mfcc": self.mfcc.read(row, row + 1)[0],
            "waveform": self.audio.read(row, row + 1)[0],
        }
        for name, values in item.items():
            if not np.isfinite(values).all():
                raise CorpusError(
                    "not_finite", f"the {name} of segment {row} of {self.speaker} holds what is no number",
                    where=str(self.spec.span.path),
                )  # fmt: skip
        return {**item, "n_samples": np.array(SEGMENT_SAMPLES, np.int64)}

    def _wrong(self, what: str) -> CorpusError:
        return CorpusError("bad_pickle", f"{self.speaker}: {what}", where=str(self.spec.span.path))


def read_pickle(path: str | Path) -> dict[str, SpeakerSegments]:
    """The speakers of the pickle `path`, by its own names (`1M`); their features stay in the file.

    Raises:
        CorpusError: as `voxaffect.corpora.pickled.read_pickle_arrays`, and `bad_pickle`.
    """
    path = Path(path)
    data = read_pickle_arrays(path)
    if not isinstance(data, Mapping) or not data or not set(data) <= set(SPEAKERS):
        names = f"the keys {sorted(map(str, data))[:12]}" if isinstance(data, Mapping) else "no dict"
        raise CorpusError(
            "bad_pickle", f"{path.name} holds {names}; expected some of {list(SPEAKERS)}", where=str(path)
        )
    return {str(speaker): _speaker(path, str(speaker), entry) for speaker, entry in data.items()}


def read(root: Path) -> UtteranceTable:
    """The utterances of the pickle `root`, or of the only one in that folder, numbered as they lie.

    Raises:
        CorpusError: `no_such_folder`, `several_tables`, and as `read_pickle`.
    """
    path = _pickle_in(root)
    return UtteranceTable(()) if path is None else UtteranceTable.of(_utterances(path))


class StoredSegments(Sequence[dict[str, np.ndarray]]):
    """The segments of one utterance, each read from the file when it is asked for."""

    def __init__(self, speaker: SpeakerSegments, first: int, n: int) -> None:
        self._speaker, self._rows = speaker, range(first, first + n)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, np.ndarray]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._speaker.segment(row) for row in self._rows[index]]
        return self._speaker.segment(self._rows[index])


def segments(utterance: Utterance) -> StoredSegments:
    """The segments that the pickle holds of `utterance`, in order: see `SpeakerSegments.segment`."""
    speaker = _speakers(utterance.path)[str(utterance.attributes["key"])]
    first, n = int(utterance.attributes["first_segment"]), int(utterance.attributes["segments"])
    return StoredSegments(speaker, first, n)


def header(utterance: Utterance) -> AudioHeader:
    """How long `utterance` was, from the frames of its segments that are not padding; all of it is read.

    Padding is 0 dB in every bin, which no frame of sound is: 0 dB is the loudest bin of the utterance.
    """
    last = np.zeros((0, N_BINS), np.float32)
    stored = segments(utterance)
    for item in stored:
        last = item["spectrogram"]
    real = np.flatnonzero((last != 0).any(axis=1))
    n_frames = (len(stored) - 1) * SEGMENT_FRAMES + (int(real[-1]) + 1 if len(real) else 1)
    return AudioHeader(SAMPLE_RATE, 1, max(n_frames - 1, 1) * HOP_LENGTH / SAMPLE_RATE)


def facts(table: UtteranceTable) -> tuple[Fact, ...]:
    """The published counts by session and of Ses05F, beside those of `table`."""
    by_session, by_speaker = table.counts(lambda u: u.session or ""), table.counts(lambda u: u.speaker)
    return (
        *(Fact(name, by_session.get(name, 0), n) for name, n in iemocap.FOUR_CLASS_SESSIONS.items()),
        Fact("Ses05F", by_speaker.get("iemocap-pickle/Ses05F", 0), iemocap.SES05F),
    )


def _speakers(path: Path) -> dict[str, SpeakerSegments]:
    """`read_pickle(path)`, scanned once for as long as the file stays the same."""
    try:
        stat = path.stat()
    except OSError as error:
        raise CorpusError(
            "unreadable_pickle", f"cannot read {path}: {error.strerror}", where=str(path)
        ) from error
    return _opened(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(path: Path, size: int, changed: int) -> dict[str, SpeakerSegments]:
    return read_pickle(path)


def _pickle_in(root: Path) -> Path | None:
    if root.is_file():
        return root
    found = sorted(p for p in folder(root).iterdir() if p.suffix.casefold() in _SUFFIXES and p.name[0] != ".")
    if len(found) > 1:
        raise CorpusError(
            "several_tables",
            f"{root} holds {len(found)} pickles: {', '.join(p.name for p in found[:10])}",
            hint="give the path of the one to read",
        )
    return found[0] if found else None


def _utterances(path: Path) -> Iterator[Utterance]:
    for key, speaker in _speakers(path).items():
        name, first = SPEAKERS[key], 0
        for number, (label, n) in enumerate(zip(speaker.utter_label, speaker.seg_num, strict=True)):
            yield Utterance(
                id=f"iemocap-pickle/{name}_{number:03d}",
                path=path,
                speaker=f"iemocap-pickle/{name}",
                label=LABELS[label],
                corpus="iemocap-pickle",
                session=name[:5],
                gender="female" if key.endswith("F") else "male",
                language="en",
                attributes={"key": key, "first_segment": float(first), "segments": float(n)},
            )
            first += int(n)


def _speaker(path: Path, name: str, entry: object) -> SpeakerSegments:
    arrays = entry if isinstance(entry, Mapping) else {}
    found = {key: arrays.get(key) for key in (*_FEATURES, *_NUMBERS)}
    missing = [key for key, array in found.items() if not isinstance(array, StoredArray)]
    if missing:
        raise CorpusError("bad_pickle", f"{path.name}: {name} has no array {missing[0]!r}", where=str(path))
    spec, mfcc, audio = (found[key] for key in _FEATURES)
    labels, seg_num, utter_label = (_numbers(path, name, key, found[key]) for key in _NUMBERS)
    assert isinstance(spec, StoredArray) and isinstance(mfcc, StoredArray) and isinstance(audio, StoredArray)
    return SpeakerSegments(name, spec, mfcc, audio, labels, seg_num, utter_label)


def _numbers(path: Path, speaker: str, key: str, array: object) -> np.ndarray:
    assert isinstance(array, StoredArray)
    if array.dtype.kind not in "iu" or len(array.shape) != 1:
        raise CorpusError(
            "bad_pickle",
            f"{path.name}: {key} of {speaker} is {array.shape} {array.dtype}, not a list of whole numbers",
            where=str(path),
        )
    return array.read().astype(np.int64)
