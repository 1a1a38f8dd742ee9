"""JL-Corpus: four New Zealand speakers say fifteen sentences in five primary and five secondary emotions.

Release      https://www.kaggle.com/datasets/tli725/jl-corpus: one folder `JL(wav+txt)` with 2400 wav files (44.1
             kHz, 16 bit, mono), each with its sentence in a .txt of the same name.
Paper        J. James, L. Tian, C. I. Watson, "An Open Source Emotional Speech Corpus for Human Robot Interaction
             Applications", Interspeech 2018.
Licence      CC0 1.0.
Speakers     4 (2 female, 2 male).
Classes      angry, excited, happy, neutral and sad 240 each; the secondary emotions anxious, apologetic, assertive,
             concerned and encouraging, which have no word here, are `other`, 1200 in all, with their own name in
             the attribute `emotion`: 2400.
File names   `female1_angry_10a_2`: speaker, emotion, sentence, and a letter and a digit that tell its four takes apart.
Traps        A sentence was said four times by each speaker in each emotion. Excited and happy are two classes.
             Anxious and concerned are near to fear; the release does not call them that, and neither do we.
"""

from __future__ import annotations

import re
from pathlib import Path

from voxaffect.corpora.files import name_of, read_text
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.named import clips, second_copy
from voxaffect.table import Utterance, UtteranceTable

PRIMARY = ("angry", "excited", "happy", "neutral", "sad")
SECONDARY = ("anxious", "apologetic", "assertive", "concerned", "encouraging")
LABELS = {**{emotion: emotion for emotion in PRIMARY}, **dict.fromkeys(SECONDARY, "other")}

_EACH = 4 * 15 * 4  # speakers, sentences, takes

INFO = CorpusInfo(
    name="jlcorpus",
    title="JL-Corpus",
    licence="CC0 1.0",
    licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
    citation='James, Tian and Watson, "An Open Source Emotional Speech Corpus for Human Robot Interaction '
    'Applications", Interspeech 2018',
    language="en",
    url="https://www.kaggle.com/datasets/tli725/jl-corpus",
    labels=("angry", "excited", "happy", "neutral", "other", "sad"),
    expected={
        "angry": _EACH,
        "excited": _EACH,
        "happy": _EACH,
        "neutral": _EACH,
        "other": len(SECONDARY) * _EACH,
        "sad": _EACH,
    },
    n_speakers=4,
    file_pattern=rf"(?:female|male)[12]_(?:{'|'.join(LABELS)})_(?:[1-9]|1[0-5])[ab]_[12]",
    how_to_get="download it from its page (a Kaggle account is needed), give the folder of the wav files",
    downloadable=True,
    not_fetched="its site wants an account and states no checksum",
    notes=(
        "Anxious, apologetic, assertive, concerned and encouraging are labelled 'other'; the attribute 'emotion' "
        "has the corpus' own word.",
        "Each sentence was said four times: takes of one sentence belong on one side of a split.",
    ),
)

_NAME = re.compile(
    r"(?P<speaker>[a-z]+\d)_(?P<emotion>[a-z]+)_(?P<sentence>\d+)(?P<letter>[a-z])_(?P<digit>\d)"
)


def read(root: Path) -> UtteranceTable:
    """Every file of the corpus anywhere in `root`, once, with the text beside it where there is one."""
    return UtteranceTable.of(map(_utterance, clips(INFO, root)))


def explain(path: Path) -> str | None:
    """`a second copy of a clip` for what is read elsewhere."""
    return second_copy(INFO, path)


def _utterance(path: Path) -> Utterance:
    stem = name_of(path)
    match = _NAME.fullmatch(stem)
    assert match is not None, stem  # file_pattern is narrower than _NAME
    text = path.with_suffix(".txt")
    return Utterance(
        id=f"jlcorpus/{stem}",
        path=path,
        speaker=f"jlcorpus/{match['speaker']}",
        label=LABELS[match["emotion"]],
        corpus="jlcorpus",
        text=" ".join(read_text(text).split()) or None if text.is_file() else None,
        take=match["letter"] + match["digit"],
        gender="female" if match["speaker"].startswith("female") else "male",
        language="en",
        attributes={"emotion": match["emotion"], "sentence": match["sentence"]},
    )
