"""A process that reads audio for the server: decoders, features and vote are here, the model is with the server.

`python -m voxaffect.serve.worker` serves requests from stdin to stdout until stdin ends. What a decoder does to
this process, a crash or 100 % of a core, it does to one request alone. The prediction is the command's very own:
only the call to the model goes to the server, which joins it with those of others.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any, TextIO, cast

import numpy as np
import numpy.typing as npt

from voxaffect.errors import ResourceError, VoxaffectError
from voxaffect.modelfile import ModelFile
from voxaffect.predictor import Predictor
from voxaffect.recogniser import Item, Recogniser
from voxaffect.serve import channel
from voxaffect.serve.precedence import RECORDINGS, process_steps_back

MEMORY = 3 * 2**30
"""Bytes of address space: far more than reading in blocks takes, far less than a machine has."""
NAME = "upload"
"""What a recording is called in messages: whatever name it came with is of no concern to a server."""

Asked = Callable[[Sequence[Item]], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class RemoteRecogniser(Recogniser):
    """A recogniser whose model runs elsewhere: `ask` brings the log-probabilities (n, M, K) of items."""

    ask: Asked | None = None

    def log_probs(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """As in Recogniser."""
        assert self.ask is not None
        return self.ask(items)


class RemotePredictor(Predictor):
    """A predictor without a model of its own."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser


def describe_model(model: ModelFile) -> dict[str, Any]:
    """What a worker needs to know of `model`, as JSON types; `described_model` reads it."""
    facts = {f.name: getattr(model, f.name) for f in fields(model) if f.name not in ("path", "data", "card")}
    return {**facts, "path": str(model.path), "metadata": dict(model.metadata)}


def described_model(facts: dict[str, Any]) -> ModelFile:
    """The model that `describe_model` described, without its bytes and card."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
    }
    values |= {"path": Path(facts["path"]), "card": "", "data": b""}
    return ModelFile(**values)


def main() -> None:
    """Serve the process that started this one."""
    serve_parent(serve, MEMORY)


def serve_parent(serve: Callable[[IO[bytes], IO[bytes]], None], memory: int | None) -> None:
    """Let `serve` answer the process that started this one until that has gone, within `memory` bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers itself
    source, sink = channel.take_standard_streams()
    limit_resources(memory)
    with suppress(channel.ChannelError, BrokenPipeError, KeyboardInterrupt):
        serve(source, sink)


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer requests until `source` ends, which raises ChannelError."""
    header, _ = channel.receive(source)
    model = described_model(header["model"])

    def ask(items: Sequence[Item]) -> npt.NDArray[np.float64]:
        shapes, parts = channel.pack(items)
        channel.send(sink, {"type": "items", "items": shapes}, *parts)
        answer, payload = channel.receive(source)
        if answer["type"] == "error":
            raise channel.error_of(answer)
        return channel.unpack_array(answer["shape"], payload)

    import voxaffect.ffmpeg  # noqa: F401  (loaded before the first request rather than during it)

    recogniser = RemoteRecogniser(model, model.features, None, ask=ask)
    predictor = RemotePredictor(recogniser)
    process_steps_back(RECORDINGS)
    channel.send(sink, {"type": "ready"})
    while True:
        header, payload = channel.receive(source)
        reply, body = _answer(predictor, header, payload)
        del payload
        channel.send(sink, reply, body)


def _answer(predictor: Predictor, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    from voxaffect.audio_length import audio_seconds

    recording = io.BytesIO(payload)
    recording.name = NAME
    options = header["options"]
    if options.get("roles"):  # JSON has no numbers for keys
        options["roles"] = {int(channel): role for channel, role in options["roles"].items()}
    try:
        limit = header["hand_over_seconds"]
        if limit is not None:
            seconds = audio_seconds(
                recording,
                start=options.get("start", 0.0),
                end=options.get("end"),
                max_seconds=options["max_seconds"],
            )
            if seconds > limit:
                return {"type": "long", "seconds": seconds}, b""
        result = replace(predictor.predict(recording, **options), id=header["id"])
        body = rendered(result, header["format"])
        duration = result.source.duration if result.source else 0.0
        return {"type": "result", "seconds": duration, "label": result.label}, body
    except VoxaffectError as error:
        return {"type": "error", **channel.told(error)}, b""
    except MemoryError:
        refusal = ResourceError("out_of_memory", "this recording takes more memory than there is")
        return {"type": "error", **channel.told(refusal)}, b""
    except Exception as error:
        return {"type": "error", **channel.told(channel.bug(error))}, b""


def rendered(result: Any, name: str) -> bytes:
    """`result` in the format called `name`."""
    from voxaffect import formats

    chosen = formats.get(name)
    if getattr(chosen, "BINARY", False):
        data = io.BytesIO()
        chosen.write([result], cast("TextIO", data))
        return data.getvalue()
    text = io.StringIO(newline="")
    chosen.write([result], text)
    return text.getvalue().encode()


def limit_resources(memory: int | None) -> None:
    """No core dumps, which would hold audio; no more than `memory` bytes of address space."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with suppress(Exception):  # where dumps go to a program, the limit of their size is not asked
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


if __name__ == "__main__":
    main()
