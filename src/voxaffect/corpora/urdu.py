"""URDU: utterances of Urdu talk shows in four emotions, unscripted.

Release      https://github.com/siddiquelatif/URDU-Dataset: folders `Angry`, `Happy`, `Neutral`, `Sad`, 400 files.
Paper        S. Latif, A. Qayyum, M. Usman, J. Qadir, "Cross Lingual Speech Emotion Recognition: Urdu vs. Western
             Languages", FIT 2018.
Licence      research only, says its README.
Speakers     29 codes in the file names (11 female, SF1 to SF11; 18 male). The README speaks of 38 (11 and 27); SM8 to
             SM16 have no file.
Classes      angry, happy, neutral and sad 100 each: 400.
File names   `SM1_F10_A010`: speaker (SM male, SF female), file of that speaker, emotion (A, H, N, S) and running
             number.
Traps        The speaker gives the class away. No woman is angry; the 100 angry clips are by four men, 72 of the 100
             neutral ones by SM5, 78 of the 100 sad ones by SM24 and SM25, and most speakers have one class only: a
             fold of unseen speakers may lack a class, and a random split measures voices.
"""

from __future__ import annotations

import re
from pathlib import Path

from voxaffect.corpora.files import name_of
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.named import clips, second_copy
from voxaffect.table import Utterance, UtteranceTable

LABELS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}

INFO = CorpusInfo(
    name="urdu",
    title="URDU",
    licence="research only",
    licence_url="https://github.com/siddiquelatif/URDU-Dataset",
    citation='Latif et al., "Cross Lingual Speech Emotion Recognition: Urdu vs. Western Languages", FIT 2018',
    language="ur",
    url="https://github.com/siddiquelatif/URDU-Dataset",
    labels=tuple(LABELS.values()),
    expected=dict.fromkeys(LABELS.values(), 100),
    n_speakers=29,
    file_pattern=rf"S[FM]\d{{1,2}}_F\d{{1,2}}_[{''.join(LABELS)}]0\d{{1,3}}",
    how_to_get="git clone https://github.com/siddiquelatif/URDU-Dataset, give the folder that holds Angry/, Happy/ …",
    downloadable=True,
    not_fetched="it is a git repository and no archive with a checksum",
    notes=(
        "Most speakers have one class only, so a speaker gives the class away: compare with the baseline by speaker.",
        "Its README speaks of 38 speakers; the file names have 29.",
    ),
)

_NAME = re.compile(r"(?P<speaker>S(?P<sex>[FM])\d+)_F\d+_(?P<emotion>[A-Z])\d+")


def read(root: Path) -> UtteranceTable:
    """Every file of the corpus anywhere in `root`, once; the name's letter is the label."""
    return UtteranceTable.of(map(_utterance, clips(INFO, root)))


def explain(path: Path) -> str | None:
    """`a second copy of a clip` for what is read elsewhere."""
    return second_copy(INFO, path)


def _utterance(path: Path) -> Utterance:
    stem = name_of(path)
    match = _NAME.fullmatch(stem)
    assert match is not None, stem  # file_pattern is narrower than _NAME
    return Utterance(
        id=f"urdu/{stem}",
        path=path,
        speaker=f"urdu/{match['speaker']}",
        label=LABELS[match["emotion"]],
        corpus="urdu",
        gender="female" if match["sex"] == "F" else "male",
        language="ur",
    )
