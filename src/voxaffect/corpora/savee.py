"""SAVEE, the Surrey Audio-Visual Expressed Emotion database: four English men, 15 sentences for each emotion.

Release      http://kahlan.eps.surrey.ac.uk/savee/ (on registration): `AudioData/DC/a01.wav` and so on, 480 files,
             44.1 kHz; video and marker data beside it. Copies in circulation flatten it to `DC_a01.wav`.
Paper        S. Haq, P. J. B. Jackson, "Multimodal Emotion Recognition", in W. Wang (ed.), Machine Audition, IGI
             Global, 2010, chapter 17.
Licence      SAVEE's own: use within the organisation of whoever downloads it, not to be passed on in any form.
Speakers     4 men: DC, JE, JK, KL; students and researchers, aged 27 to 31.
Classes      angry, disgust, fearful, happy, sad and surprised 60 each, neutral 120: 480.
File names   `a01`, or `DC_a01`: emotion (a anger, d disgust, f fear, h happiness, n neutral, sa sadness, su
             surprise) and sentence, 15 for each emotion and 30 for neutral.
Traps        Sadness and surprise have two letters: `s` alone is nothing. In the original the speaker is the
             folder, and every folder has the same file names. Four speakers of one sex: a result on them says
             little about others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from voxaffect.corpora.files import VIDEO_SUFFIXES, audio_files, folder, name_of
from voxaffect.corpora.info import CorpusInfo
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
SPEAKERS = ("DC", "JE", "JK", "KL")

_NAME = re.compile(
    rf"(?:(?P<speaker>{'|'.join(SPEAKERS)})_)?(?P<emotion>{'|'.join(LABELS)})(?P<sentence>0[1-9]|[12]\d|30)"
)

INFO = CorpusInfo(
    name="savee",
    title="SAVEE",
    licence="SAVEE licence: own organisation only",
    licence_url="http://kahlan.eps.surrey.ac.uk/savee/Download.html",
    citation='Haq and Jackson, "Multimodal Emotion Recognition", in Machine Audition: Principles, Algorithms and '
    "Systems, IGI Global, 2010",
    language="en",
    url="http://kahlan.eps.surrey.ac.uk/savee/",
    labels=tuple(LABELS.values()),
    expected={
        "angry": 60,
        "disgust": 60,
        "fearful": 60,
        "happy": 60,
        "neutral": 120,
        "sad": 60,
        "surprised": 60,
    },
    n_speakers=4,
    file_pattern=_NAME.pattern.replace("?P<speaker>", "?:")
    .replace("?P<emotion>", "?:")
    .replace("?P<sentence>", "?:"),
    how_to_get="register on its page, give the folder that holds AudioData/",
    downloadable=False,
    not_fetched="it is given to those who register and may not be passed on",
    notes=(
        "Four men only: leaving one speaker out leaves three to train on.",
        "It may be used within one's own organisation and not be passed on.",
    ),
)


def read(root: Path) -> UtteranceTable:
    """The files `DC_a01` anywhere in `root`, and those called `a01` that lie in a folder named after a speaker."""
    return UtteranceTable.of(_utterances(folder(root)))


def explain(path: Path) -> str | None:
    """`video` for the clips of the release's video parts, `a second copy of a clip` for what is read elsewhere."""
    if path.suffix.casefold() in VIDEO_SUFFIXES:
        return "video"
    return "a second copy of a clip" if _speaker(path) else None


def _utterances(root: Path) -> Iterator[Utterance]:
    seen: set[str] = set()
    for path in sorted(audio_files(root), key=lambda p: (len(p.parts), p.as_posix())):
        speaker, match = _speaker(path), _NAME.fullmatch(name_of(path))
        if speaker is None or match is None:
            continue
        stem = f"{speaker}_{match['emotion']}{match['sentence']}"
        if stem in seen:  # a copy of the release inside itself
            continue
        seen.add(stem)
        yield Utterance(
            id=f"savee/{stem}",
            path=path,
            speaker=f"savee/{speaker}",
            label=LABELS[match["emotion"]],
            corpus="savee",
            gender="male",
            language="en",
            attributes={"sentence": match["emotion"] + match["sentence"]},
        )


def _speaker(path: Path) -> str | None:
    """Who speaks in `path`: the name's prefix, else the folder; None if neither says so."""
    match = _NAME.fullmatch(name_of(path))
    if match is None:
        return None
    named: str | None = match["speaker"]
    above = path.parent.name.upper()
    return named or (above if above in SPEAKERS else None)
