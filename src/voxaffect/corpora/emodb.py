"""EmoDB, the Berlin Database of Emotional Speech: ten actors say ten German sentences in seven emotions.

Release      http://emodb.bilderbar.info, `download.zip`: one folder `wav` with 535 files, 16 kHz, mono, 16
             bit.
Paper        F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss, "A database of German emotional
             speech", Interspeech 2005. Recorded in the anechoic chamber of TU Berlin in 1997 and 1999.
Licence      CC0-1.0, as audEERING publishes it.
Speakers     10 (5 female, 5 male; 03, 08 to 16), aged 21 to 35.
Classes      angry 127, bored 81, disgust 46, fearful 69, happy 71, neutral 79, sad 62: the takes
             that over 80 % of 20 listeners recognised and over 60 % found natural.
File names   `03a01Fa`: speaker 03, text a01, emotion F, version a. The letters are German: W Wut (anger), L
             Langeweile (boredom), E Ekel (disgust), A Angst (fear), F Freude (happiness), T Trauer (sadness),
             N neutral.
Traps        A stands for fear, not for anger; F for happiness, not for fear. The ten texts are shared by all
             speakers, so a text is never unseen: split by speaker and say so. The table of the study that
             this program builds on counts 81 for disgust; 81 is EmoDB's boredom, its disgust is 46.
             `14a07Na.wav` has a padding chunk before its data.
"""

from __future__ import annotations

import re
from pathlib import Path

from voxaffect.corpora.files import audio_files, folder, name_of, subfolder
from voxaffect.corpora.info import CorpusInfo
from voxaffect.table import Utterance, UtteranceTable

TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

LABELS = {
    "W": "angry",
    "L": "bored",
    "E": "disgust",
    "A": "fearful",
    "F": "happy",
    "N": "neutral",
    "T": "sad",
}

SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
"""Gender and age in years."""

INFO = CorpusInfo(
    name="emodb",
    title="EmoDB",
    licence="CC0-1.0",
    licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
    citation='Burkhardt et al., "A database of German emotional speech", Interspeech 2005',
    language="de",
    url="http://emodb.bilderbar.info",
    labels=("angry", "bored", "disgust", "fearful", "happy", "neutral", "sad"),
    expected={"angry": 127, "bored": 81, "disgust": 46, "fearful": 69, "happy": 71, "neutral": 79, "sad": 62},
    n_speakers=10,
    file_pattern=f"(?:{'|'.join(SPEAKERS)})(?:{'|'.join(TEXTS)})[{''.join(LABELS)}][a-z]",
    how_to_get="unpack download.zip of http://emodb.bilderbar.info and give the folder that holds wav/",
    downloadable=True,
    notes=(
        "The study's table gives 81 for disgust. That is EmoDB's count of boredom; its disgust count is 46.",
        "All speakers share ten texts: a text is never unseen, so splits are by speaker.",
        "In the file names A is fear (Angst), W is anger (Wut) and F is happiness (Freude).",
    ),
)

_NAME = re.compile(r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")


def read(root: Path) -> UtteranceTable:
    """The utterances in `root/wav`, or in `root` itself."""
    wav = subfolder(folder(root), "wav") or root
    return UtteranceTable.of(
        _utterance(path) for path in audio_files(wav, recursive=False) if INFO.matches(name_of(path))
    )


def _utterance(path: Path) -> Utterance:
    stem = name_of(path)
    match = _NAME.fullmatch(stem)
    assert match is not None, stem  # file_pattern is narrower than _NAME
    gender, age = SPEAKERS[match["speaker"]]
    return Utterance(
        id=f"emodb/{stem}",
        path=path,
        speaker=f"emodb/{match['speaker']}",
        label=LABELS[match["emotion"]],
        corpus="emodb",
        text=TEXTS[match["text"]],
        take=match["version"],
        gender=gender,
        language="de",
        attributes={"text_code": match["text"], "age": float(age)},
    )
