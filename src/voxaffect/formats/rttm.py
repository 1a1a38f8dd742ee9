"""RTTM, the turns of speaker diarisation: a line for each piece, of any number of recordings.

The speaker of a turn is `ROLE:LABEL`, or the label alone for a mix of all channels, since readers drop every other
field; its confidence is the score. Fields are separated by spaces, so white space in a name is percent-encoded.

Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO
from urllib.parse import quote

from voxaffect.audio_input import printable
from voxaffect.formats import DIGITS
from voxaffect.result import Result
from voxaffect.track import tracks

SUMMARY = "turns as in speaker diarisation"
EXTENSION = ".rttm"
HOLDS = "timelines"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write the turns of each result as it comes; channels count from 1, as the format has them."""
    for result in results:
        for track in tracks(result):
            for piece in track.pieces:
                name = f"{track.name}:{piece.label}" if track.name else piece.label
                stream.write(
                    f"SPEAKER {_field(result.id)} {track.channel + 1} {piece.start:.3f} "
                    f"{piece.end - piece.start:.3f} <NA> <NA> {_field(name)} "
                    f"{round(piece.score, DIGITS):g} <NA>\n"
                )
        stream.flush()


def _field(text: str) -> str:
    return re.sub(r"[\s%]", lambda match: quote(match[0]), printable(text))
