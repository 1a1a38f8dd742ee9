"""Tables of utterances without audio: for tests of who trains, selects and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxaffect.table import Utterance, UtteranceTable

EMODB = tuple(f"emodb/{i:02d}" for i in (3, 8, 9, 10, 11, 12, 13, 14, 15, 16))
NEMO = tuple(f"nemo/{s}" for s in ("EB0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0"))
RAVDESS = tuple(f"ravdess/{i:02d}" for i in range(1, 25))
IEMOCAP = tuple(f"iemocap/Ses0{i}{letter}" for i in range(1, 6) for letter in "FM")
ALL = EMODB + NEMO + RAVDESS
GENDERS = {s: "female" if i % 2 else "male" for i, s in enumerate(ALL)} | {
    s: "female" if s.endswith("F") else "male" for s in IEMOCAP
}


def a_table(speakers: Sequence[str], sessions: Sequence[str | None] | None = None) -> UtteranceTable:
    """One utterance for each of `speakers`, in that order; of IEMOCAP's speakers the session is known."""
    known = [s[8:13] if s.startswith("iemocap/") else None for s in speakers]
    return UtteranceTable(
        tuple(
            Utterance(
                id=f"{speaker}_{i}",
                path=Path("x.wav"),
                speaker=speaker,
                label="sad",
                corpus=speaker.partition("/")[0],
                gender=GENDERS.get(speaker),
                session=(sessions or known)[i],
            )
            for i, speaker in enumerate(speakers)
        )
    )
