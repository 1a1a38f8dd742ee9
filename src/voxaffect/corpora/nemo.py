"""nEMO: nine actors say 90 Polish sentences in six emotions.

Release      https://github.com/amu-cai/nEMO: `data.tsv` and a folder `samples` with 4481 files, 24 kHz, mono,
             16 bit. A copy with `labels.csv` (file, speaker, emotion, gender, age, text_id, text) in its
             place is read as well.
Paper        I. Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024.
Licence      CC BY-NC-SA 4.0: a model trained on it carries that licence.
Speakers     9 (4 female, 5 male), aged 23 to 28.
Classes      anger 749, fear 736, happiness 749, neutral 809, sadness 769, surprised 669.
File names   `EB0_anger_12`: speaker, emotion, number of the sentence.
Traps        `data.tsv` pads its speaker column with blanks. Speakers share their sentences: split by speaker.
"""

from __future__ import annotations

from pathlib import Path

from voxaffect.corpora.files import audio_files, folder, locate, name_of, subfolder
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}

INFO = CorpusInfo(
    name="nemo",
    title="nEMO",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    citation='Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024',
    language="pl",
    url="https://github.com/amu-cai/nEMO",
    labels=("angry", "fearful", "happy", "neutral", "sad", "surprised"),
    expected={"angry": 749, "fearful": 736, "happy": 749, "neutral": 809, "sad": 769, "surprised": 669},
    n_speakers=9,
    file_pattern=rf"[A-Z]{{2}}\d_(?:{'|'.join(LABELS)})_\d{{1,2}}",
    how_to_get="git clone https://github.com/amu-cai/nEMO, give the folder that holds data.tsv and samples/",
    downloadable=True,
    notes=(
        "All speakers share 90 sentences: a text is never unseen, so splits are by speaker.",
        "A model trained on it carries CC BY-NC-SA 4.0.",
    ),
)

_OFFICIAL = ("file_id", "emotion", "raw_text", "speaker_id", "gender", "age")
_DERIVED = ("file", "emotion", "text", "speaker", "gender", "age")


def read(root: Path) -> UtteranceTable:
    """The utterances that `data.tsv` (or `labels.csv`) in `root` lists; their files lie in `root/samples`.

    Raises:
        CorpusError: `no_such_folder`, what `read_sheet` finds, `unknown_label`, `bad_row`.
    """
    index = next((p for p in (folder(root) / "data.tsv", root / "labels.csv") if p.is_file()), None)
    if index is None:
        return UtteranceTable(())
    columns = _OFFICIAL if index.name == "data.tsv" else _DERIVED
    samples = subfolder(root, "samples") or root
    present = {name_of(path): path for path in audio_files(samples, recursive=False)}
    return UtteranceTable.of(_utterance(row, columns, samples, present) for row in read_sheet(index, columns))


def _utterance(row: Row, columns: tuple[str, ...], samples: Path, present: dict[str, Path]) -> Utterance:
    file, emotion, text, speaker, gender, age = (row.required(column) for column in columns)
    stem = name_of(Path(file))
    if emotion not in LABELS:
        raise row.error("unknown_label", f"unknown emotion {emotion!r}; expected one of {list(LABELS)}")
    number = stem.rpartition("_")[2]
    if stem != f"{speaker}_{emotion}_{number}" or not number.isdecimal():
        raise row.error(
            "bad_row", f"{file!r} is not named SPEAKER_EMOTION_NUMBER for {speaker!r} and {emotion!r}"
        )
    if gender not in ("female", "male"):
        raise row.error("bad_row", f"gender is {gender!r}; expected 'female' or 'male'")
    if not age.isdecimal():
        raise row.error("bad_row", f"age is {age!r}; expected whole years")
    return Utterance(
        id=f"nemo/{stem}",
        path=present.get(stem) or locate(samples, Path(file).name),
        speaker=f"nemo/{speaker}",
        label=LABELS[emotion],
        corpus="nemo",
        text=text,
        gender=gender,
        language="pl",
        attributes={"text_code": number, "age": float(age)},
    )
