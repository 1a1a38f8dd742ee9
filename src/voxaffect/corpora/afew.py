"""AFEW 4.0, Acted Facial Expressions in the Wild: clips of films in seven emotions, as the EmotiW 2014 challenge had.

Release      https://cs.anu.edu.au/few/AFEW.html (on request): `Train/CLASS/000046280.avi`, `Val/CLASS/…` (in some
             copies `Train_AFEW`, `Val_AFEW`) and a test set, whose labels the challenge kept to itself.
Paper        A. Dhall, R. Goecke, S. Lucey, T. Gedeon, "Collecting Large, Richly Annotated Facial-Expression Databases
             from Movies", IEEE MultiMedia 19(3), 2012; A. Dhall et al., "Emotion Recognition In The Wild Challenge
             2014: Baseline, Data and Protocol", ICMI 2014.
Licence      research use by agreement with its authors; the clips are parts of films.
Speakers     not told: a clip has a number, no actor. The sets are said to share no actor, the clips within one do.
             So all of a set count as one speaker, `afew/unknown-train` and `afew/unknown-val`: no split by speaker
             can then divide a set, which is the only split that is known to keep actors apart.
Classes      angry 156, disgust 106, fearful 113, happy 171, neutral 167, sad 145, surprised 103: 961, of which 578 in
             Train and 383 in Val. Test, where a copy has it in folders of classes, is read as well (407).
Traps        Labels are of what is seen: the sound may be music, another's voice or silence. To keep to the official
             sets, group by session (`train`, `val`, `test`); with two sets, dev speakers must come from another
             corpus, since within a set nobody can be kept apart.
Sound        is taken from the video files. Where somebody has put a .wav beside its video, the .wav is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from voxaffect.corpora.files import folder, folders, has_sound_beside, media_files, name_of
from voxaffect.corpora.info import CorpusInfo, Fact
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprise": "surprised",
}
"""The classes' folders."""
SETS = {"train": 578, "val": 383}
"""The labelled sets and their sizes."""

INFO = CorpusInfo(
    name="afew",
    title="AFEW 4.0",
    licence="research use by agreement with its authors",
    licence_url="https://cs.anu.edu.au/few/AFEW.html",
    citation='Dhall et al., "Emotion Recognition In The Wild Challenge 2014: Baseline, Data and Protocol", ICMI 2014',
    language="en",
    url="https://cs.anu.edu.au/few/AFEW.html",
    labels=("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised"),
    expected={
        "angry": 156,
        "disgust": 106,
        "fearful": 113,
        "happy": 171,
        "neutral": 167,
        "sad": 145,
        "surprised": 103,
    },
    # The challenge's test set, in copies that have its labels: Dhall et al., ICMI 2014.
    optional={
        "angry": 58,
        "disgust": 26,
        "fearful": 46,
        "happy": 81,
        "neutral": 117,
        "sad": 53,
        "surprised": 26,
    },
    file_pattern=r"\d{9}",
    how_to_get="ask its authors at the address above, give the folder that holds Train and Val",
    downloadable=False,
    notes=(
        "Who speaks is not told: all of a set count as one speaker, so that no split divides a set.",
        "Labels are of what is seen; the sound may be music, another's voice or silence.",
        "Sound comes from the video files; a .wav beside its video is read in its place.",
    ),
)

_SET = re.compile(r"(train|val|test)(?:idation|ing)?(?:[ _-]?afew)?", re.IGNORECASE)


def read(root: Path) -> UtteranceTable:
    """The clips in folders of classes in `Train`, `Val` and `Test` of `root`, else of its folders.

    `session` is the set: `train`, `val` or `test`.
    """
    sets = list(_sets(folder(root))) or [found for child in folders(root) for found in _sets(child)]
    return UtteranceTable.of(
        _utterance(path, name, LABELS[clips.name.casefold()])
        for name, directory in sets
        for clips in folders(directory)
        if clips.name.casefold() in LABELS
        for path in media_files(clips, recursive=False)
        if INFO.matches(name_of(path)) and not has_sound_beside(path)
    )


def explain(path: Path) -> str | None:
    """`test set, without labels` for the challenge's test clips, and videos whose sound lies beside them."""
    if not INFO.matches(name_of(path)):
        return None
    if has_sound_beside(path):
        return "video whose sound lies beside it"
    match = _SET.fullmatch(path.parent.name)
    return "test set, without labels" if match and match[1].casefold() == "test" else None


def facts(table: UtteranceTable) -> tuple[Fact, ...]:
    """The sizes of the labelled sets, beside those of `table`."""
    found = table.counts(lambda u: u.session or "")
    return tuple(Fact(f"set {name}", found.get(name, 0), n) for name, n in SETS.items())


def _sets(root: Path) -> Iterator[tuple[str, Path]]:
    for directory in folders(root):
        match = _SET.fullmatch(directory.name)
        if match:
            yield match[1].casefold(), directory


def _utterance(path: Path, part: str, label: str) -> Utterance:
    return Utterance(
        id=f"afew/{name_of(path)}",
        path=path,
        speaker=f"afew/unknown-{part}",
        label=label,
        corpus="afew",
        session=part,
        language="en",
    )
