"""A process that hears for all live streams: samples, speech detector, utterances, features; the model is elsewhere.

`python -m voxaffect.serve.hearing_worker` serves requests from stdin to stdout until stdin ends. Beside the event loop
and the model it would wait for the interpreter's lock more than it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import IO, Any

from voxaffect.errors import VoxaffectError
from voxaffect.intake import Intake, Opening, accept_all
from voxaffect.modelfile import ModelFile
from voxaffect.result import Settings
from voxaffect.segmenter import Cue
from voxaffect.serve import channel, cues
from voxaffect.serve.precedence import LIVE, process_steps_back
from voxaffect.serve.worker import described_model, serve_parent
from voxaffect.speech_detector import detectors


def main() -> None:
    """Serve the process that started this one."""
    serve_parent(serve, None)


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer requests until `source` ends, which raises ChannelError."""
    header, _ = channel.receive(source)
    detectors(True)  # read now rather than at the first stream
    hearer = Hearer(described_model(header["model"]))
    process_steps_back(LIVE)
    channel.send(sink, {"type": "ready"})
    while True:
        header, payload = channel.receive(source)
        if header["type"] == "open":
            hearer.open(header)
        elif header["type"] == "drop":
            hearer.drop(header["stream"])
        else:
            try:
                heard, parts = hearer.hear(header["pieces"], payload)
            except Exception as error:  # a mistake of ours must not end everybody's stream
                answer = {"error": channel.told(channel.bug(error))}
                heard, parts = {"answers": [answer] * len(header["pieces"]), "cues": []}, []
            channel.send(sink, {"type": "heard", **heard}, *parts)


class Hearer:
    """The streams by their numbers."""

    def __init__(self, model: ModelFile) -> None:
        self._features, self._inputs = model.features, model.inputs
        self._intakes: dict[int, Intake] = {}

    def open(self, header: dict[str, Any]) -> None:
        """A stream begins."""
        values = header["opening"]
        opening = Opening(**{**values, "settings": Settings(**values["settings"])})
        self._intakes[header["stream"]] = opening.intake()

    def drop(self, number: int) -> None:
        """A stream is over."""
        self._intakes.pop(number, None)

    def hear(self, pieces: list[dict[str, Any]], payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """What follows from the next piece of each of different streams, and then from its end or a pause there."""
        ends = accumulate(piece["bytes"] for piece in pieces)
        data = [payload[end - piece["bytes"] : end] for piece, end in zip(pieces, ends, strict=True)]
        intakes = [self._intakes.get(piece["stream"]) for piece in pieces]
        fed = [(intake, part) for intake, part in zip(intakes, data, strict=True) if intake and part]
        heard = iter(accept_all(fed))
        answers: list[dict[str, Any]] = []
        decided: list[Cue] = []
        for piece, intake, part in zip(pieces, intakes, data, strict=True):
            said: list[Cue] | VoxaffectError = lost() if intake is None else next(heard) if part else []
            if isinstance(said, VoxaffectError):
                answers.append({"error": channel.told(said)})
                continue
            assert intake is not None
            own = said + _THEN[piece["then"]](intake)
            decided += own
            answers.append(
                {
                    "n_cues": len(own),
                    "received_seconds": intake.received_seconds,
                    "n_utterances": intake.n_utterances,
                    "warnings": [[notice.code, notice.message] for notice in intake.warnings],
                }
            )
        values, parts = cues.pack(decided, self._features, self._inputs)
        return {"answers": answers, "cues": values}, parts


_THEN: Mapping[str | None, Callable[[Intake], list[Cue]]] = {
    None: lambda intake: [],
    "pause": Intake.pause,
    "finish": Intake.finish,
}


def lost() -> VoxaffectError:
    """What a stream is told whose process is no more."""
    return VoxaffectError(
        "hearing_crashed", "the process that heard this stream broke down", hint="open the stream again"
    )


if __name__ == "__main__":
    main()
