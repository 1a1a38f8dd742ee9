"""A process that hears for all live streams: samples, speech detector, utterances, features; the model is elsewhere.

`python -m voxaffect.serve.hearing_worker` serves requests from stdin to stdout until stdin ends. Beside the event loop
and the model it would wait for the interpreter's lock more than it works.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import IO, Any

from voxaffect.errors import VoxaffectError
from voxaffect.intake import Intake, Opening, accept_all
from voxaffect.modelfile import ModelFile
from voxaffect.result import Settings
from voxaffect.segmenter import Cue
from voxaffect.serve import channel, cues
from voxaffect.serve.worker import described_model, limit_resources
from voxaffect.speech_detector import detectors


def main() -> None:
    """Serve the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers itself
    source, sink = channel.take_standard_streams()
    limit_resources(None)
    with suppress(channel.ChannelError, BrokenPipeError, KeyboardInterrupt):
        serve(source, sink)


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer requests until `source` ends, which raises ChannelError."""
    header, _ = channel.receive(source)
    detectors(True)  # read now rather than at the first stream
    hearer = Hearer(described_model(header["model"]))
    channel.send(sink, {"type": "ready"})
    while True:
        header, payload = channel.receive(source)
        if header["type"] == "open":
            hearer.open(header)
        elif header["type"] == "drop":
            hearer.drop(header["stream"])
        else:
            try:
                answers, parts = hearer.hear(header["pieces"], payload)
            except Exception as error:  # a mistake of ours must not end everybody's stream
                bug = VoxaffectError("bug", f"{type(error).__name__}: {error}", hint="please report it")
                answers, parts = [{"error": channel.told(bug)} for _ in header["pieces"]], []
            channel.send(sink, {"type": "heard", "answers": answers}, *parts)


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

    def hear(self, pieces: list[dict[str, Any]], payload: bytes) -> tuple[list[dict[str, Any]], list[bytes]]:
        """What follows from the next piece of each of different streams, and then from its end or a pause there."""
        found: list[tuple[Intake | None, bytes]] = []
        at = 0
        for piece in pieces:
            found.append((self._intakes.get(piece["stream"]), payload[at : at + piece["bytes"]]))
            at += piece["bytes"]
        heard = iter(accept_all([(intake, data) for intake, data in found if intake and data]))
        answers: list[dict[str, Any]] = []
        parts: list[bytes] = []
        decided: list[list[Cue]] = []
        for piece, (intake, data) in zip(pieces, found, strict=True):
            said = next(heard) if intake and data else []
            if intake is None:
                answers.append({"error": channel.told(lost())})
            elif isinstance(said, VoxaffectError):
                answers.append({"error": channel.told(said)})
            else:
                then = piece["then"]
                more = intake.finish() if then == "finish" else intake.pause() if then == "pause" else []
                decided.append([*said, *more])
                answers.append(
                    {
                        "received_seconds": intake.received_seconds,
                        "n_utterances": intake.n_utterances,
                        "warnings": [[notice.code, notice.message] for notice in intake.warnings],
                    }
                )
        values, parts = cues.pack([cue for own in decided for cue in own], self._features, self._inputs)
        sizes = iter(len(own) for own in decided)
        start = 0
        for answer in answers:
            if "error" not in answer:
                n = next(sizes)
                answer["cues"] = values[start : start + n]
                start += n
        return answers, parts


def lost() -> VoxaffectError:
    """What a stream is told whose process is no more."""
    return VoxaffectError(
        "hearing_crashed", "the process that heard this stream broke down", hint="open the stream again"
    )


if __name__ == "__main__":
    main()
