"""MSP-Podcast: hundreds of hours of natural speech from podcasts, labelled by crowds.

Release      https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html (by licence): `Audios/*.wav`
             and `Labels/labels_consensus.csv` (FileName, EmoClass, EmoAct, EmoVal, EmoDom, SpkrID, Gender,
             Split_Set); release 1.11 has 151654 speaking turns, release 1.12 207136. Older labels and withdrawn
             audio lie in `Previous_releases_information`.
Paper        R. Lotfian, C. Busso, "Building naturalistic emotionally balanced speech corpus by retrieving emotional
             speech from existing podcast recordings", IEEE Transactions on Affective Computing 10(4), 2019.
Licence      by agreement with the University of Texas at Dallas; not to be passed on.
Speakers     numbers in SpkrID. Those that the release calls Unknown are one speaker here, `Unknown`, so that none of
             them is on both sides of a split; any of them may still be one of the numbered. Leave them out where it
             matters.
Classes      A angry, S sad, H happy, U surprised, F fearful, D disgust, C contempt, N neutral, O other, X no agreement
             (our `unknown`). Their counts change with each release and are not stated here.
Labels       EmoAct, EmoVal and EmoDom are means of 1 to 7.
File names   `MSP-PODCAST_0001_0008`: podcast and turn.
Traps        Releases withdraw files: labels of one release with the audio of another list files that are not there.
             `corpus check` says which of them were withdrawn, and after which release. Transcripts are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from voxaffect.corpora.files import audio_files, find, folder, folders, name_of, read_text, subfolder
from voxaffect.corpora.info import CorpusInfo, Fact
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "A": "angry",
    "S": "sad",
    "H": "happy",
    "U": "surprised",
    "F": "fearful",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
    "X": "unknown",
}
TURNS = {"1.11": 151_654, "1.12": 207_136}
"""Speaking turns by release."""
UNKNOWN = "Unknown"

INFO = CorpusInfo(
    name="msppodcast",
    title="MSP-Podcast",
    licence="by agreement with UT Dallas",
    licence_url="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    citation='Lotfian and Busso, "Building naturalistic emotionally balanced speech corpus by retrieving emotional '
    'speech from existing podcast recordings", IEEE Transactions on Affective Computing 10(4), 2019',
    language="en",
    url="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    labels=tuple(sorted(LABELS.values())),
    file_pattern=r"MSP-PODCAST_\d+(?:_\d+)+",
    how_to_get="sign the licence on its page, give the folder that holds Audios/ and Labels/",
    downloadable=False,
    notes=(
        "Speakers that the release calls Unknown are one speaker here; leave them out where speakers matter.",
        "Counts differ from release to release: none is asserted but the number of turns of releases 1.11 and 1.12.",
    ),
)

_COLUMNS = ("filename", "emoclass", "emoact", "emoval", "emodom", "spkrid", "gender", "split_set")
_DIMENSIONS = {"emoval": "valence", "emoact": "activation", "emodom": "dominance"}
_GENDERS = {"female": "female", "male": "male", "unknown": None, "": None}
_RELEASE = re.compile(r"Release\s+(\d+\.\d+)")
_REMOVED = re.compile(r"v(\d+(?:\.\d+)+)_removed_files", re.IGNORECASE)


def read(root: Path) -> UtteranceTable:
    """The turns that `Labels/labels_consensus.csv` lists, in `root` or a folder below; their files lie in `Audios`.

    `session` is the official part (Train, Development, Test1 …). Attributes: `podcast`, `valence`,
    `activation`, `dominance`, and `release` where the release's readme.txt names it.

    Raises:
        CorpusError: `no_such_folder`, what `read_sheet` finds, `unknown_label`, `bad_row`.
    """
    sheet = find(folder(root), "labels_consensus.csv")
    if sheet is None:
        return UtteranceTable(())
    home = sheet.parent.parent if sheet.parent != root else root
    audios = subfolder(home, "Audios") or find(root, "Audios") or home / "Audios"
    present = {name_of(path): path for path in audio_files(audios)} if audios.is_dir() else {}
    release = _release(root)
    return UtteranceTable.of(_utterance(row, audios, present, release) for row in read_sheet(sheet, _COLUMNS))


def facts(table: UtteranceTable) -> tuple[Fact, ...]:
    """The number of turns of the release, where its readme.txt names one of `TURNS`."""
    found = table.counts(lambda u: str(u.attributes.get("release", "")))
    return tuple(Fact(f"turns of release {r}", n, TURNS[r]) for r, n in found.items() if r in TURNS)


def withdrawn(root: Path) -> Mapping[str, str]:
    """By file name, after which release a turn was withdrawn, as `Previous_releases_information` in `root` tells."""
    removed = find(root, "files_removed_from_prev_versions")
    if removed is None or not removed.is_dir():
        return {}
    return {
        name_of(path): f"release {match[1]}"
        for directory in folders(removed)
        if (match := _REMOVED.fullmatch(directory.name))
        for path in audio_files(directory)
    }


def explain(path: Path) -> str | None:
    """`withdrawn after release 1.10` for what lies among the removed files of earlier releases."""
    for directory in path.parents:
        if match := _REMOVED.fullmatch(directory.name):
            return f"withdrawn after release {match[1]}"
    return None


def _release(root: Path) -> str | None:
    readme = find(root, "readme.txt", depth=1)
    match = _RELEASE.search(read_text(readme)) if readme else None
    return match[1] if match else None


def _utterance(row: Row, audios: Path, present: dict[str, Path], release: str | None) -> Utterance:
    stem, label = name_of(Path(row.required("filename"))), row.required("emoclass")
    if not INFO.matches(stem):
        raise row.error("bad_row", f"{row['filename']!r} is not named MSP-PODCAST_PODCAST_TURN.wav")
    if label not in LABELS:
        raise row.error("unknown_label", f"unknown class {label!r}; expected one of {list(LABELS)}")
    gender = row["gender"].casefold()
    if gender not in _GENDERS:
        raise row.error("bad_row", f"gender is {row['gender']!r}; expected Female, Male or Unknown")
    speaker = row.required("spkrid")
    attributes: dict[str, str | float] = {"podcast": stem.split("_")[1]}
    attributes |= {name: _rating(row, column) for column, name in _DIMENSIONS.items()}
    if release:
        attributes["release"] = release
    return Utterance(
        id=f"msppodcast/{stem}",
        path=present.get(stem) or audios / f"{stem}.wav",
        speaker=f"msppodcast/{UNKNOWN if speaker.casefold() == UNKNOWN.casefold() else speaker}",
        label=LABELS[label],
        corpus="msppodcast",
        session=row.required("split_set"),
        gender=_GENDERS[gender],
        language="en",
        attributes=attributes,
    )


def _rating(row: Row, column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = 0.0
    if not 1 <= value <= 7:
        raise row.error("bad_row", f"{column} is {row[column]!r}; expected 1 to 7")
    return value
