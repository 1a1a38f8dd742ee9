"""What test utterances share with those that trained and selected: speaker, session, dialogue, text, take.

A table of who had which part (folds.json) and of what is known of each utterance (utterances.csv) is enough; no audio
is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from voxaffect.metadata import plain_text
from voxaffect.trainings import Training

Facts = Mapping[str, str]
"""The columns known of one utterance."""
PARTS = ("train", "dev")


@dataclass(frozen=True)
class Overlap:
    """What test utterances have in common with one other part, over all folds and seeds.

    `known` is how many test utterances say what their `kind` is, `shared` how many of those meet it again in the
    part; `folds` of `of_folds` have any. `example` is one value that is met again.
    """

    kind: str
    part: str
    shared: int
    known: int
    folds: int
    of_folds: int
    example: str


def _within(*columns: str) -> Callable[[Facts], str]:
    """The value of the last column, told apart by the ones before it; "" where one is unknown."""

    def key(facts: Facts) -> str:
        cells = ((column, facts.get(column, "")) for column in columns)
        values = [plain_text(cell) if column == "text" else cell for column, cell in cells]
        return " / ".join(values) if all(values) else ""

    return key


KINDS: Mapping[str, Callable[[Facts], str]] = {
    "speaker": lambda facts: facts.get("speaker", ""),
    "session": _within("corpus", "session"),
    "dialogue": _within("corpus", "dialogue"),
    "text": _within("corpus", "text"),
    "take": _within("speaker", "text", "label"),
}
"""What can be shared, and how to tell; two takes are one speaker saying one text with one emotion."""


def overlaps(trainings: Sequence[Training], facts: Mapping[str, Facts]) -> tuple[Overlap, ...]:
    """The overlap of each kind that is known with each part, in the order of `KINDS`; () without trainings or facts."""
    tested = [t for t in trainings if t.test]
    if not tested or not facts:
        return ()
    speakers: dict[str, list[str]] = {}
    for utterance, known in facts.items():
        speakers.setdefault(known.get("speaker", ""), []).append(utterance)
    found = []
    for kind, key in KINDS.items():
        keys = {utterance: key(known) for utterance, known in facts.items()}
        if not any(keys.values()):
            continue
        for part in PARTS:
            found.append(_overlap(kind, part, tested, keys, speakers))
    return tuple(found)


def _overlap(
    kind: str,
    part: str,
    trainings: Sequence[Training],
    keys: Mapping[str, str],
    speakers: Mapping[str, Sequence[str]],
) -> Overlap:
    shared = known = folds = 0
    example = ""
    for training in trainings:
        seen = {keys[u] for u in _utterances(training, part, keys, speakers)} - {""}
        test = [keys[u] for u in _utterances(training, "test", keys, speakers) if keys[u]]
        again = [value for value in test if value in seen]
        known, shared, folds = known + len(test), shared + len(again), folds + bool(again)
        example = example or next(iter(sorted(again)), "")
    return Overlap(kind, part, shared, known, folds, len(trainings), example)


def _utterances(
    training: Training, part: str, keys: Mapping[str, str], speakers: Mapping[str, Sequence[str]]
) -> Iterable[str]:
    """The ids of a part: those that the fold lists, or all of its speakers' utterances."""
    if training.utterances:
        return [u for u in training.utterances.get(part, ()) if u in keys]
    names: tuple[str, ...] = getattr(training, part)
    return [u for name in names for u in speakers.get(name, ())]


def broken_rules(trainings: Sequence[Training]) -> tuple[str, ...]:
    """Which rules of honest testing the speakers of the folds break, in words; () if none."""
    found = []
    if any(set(t.test) & set(t.train) for t in trainings):
        found.append("test speakers are trained on")
    if any(set(t.test) & set(t.dev) for t in trainings):
        found.append("the epoch is chosen on test speakers")
    return tuple(found)
