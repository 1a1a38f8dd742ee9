"""A process that the server starts and talks to over pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from voxaffect.modelfile import ModelFile
from voxaffect.serve import channel
from voxaffect.serve.worker import describe_model

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Child:
    """`python -m MODULE`, and the pipes to it. It is told of the model first, and answers once it is ready."""

    def __init__(self, module: str, model: ModelFile) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            **own_group(),
        )
        assert self._process.stdin and self._process.stdout
        self.sink: IO[bytes] = self._process.stdin
        self.source: IO[bytes] = self._process.stdout
        self._model = model
        self._ready = False

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Return once it can work; raises ChannelError or OSError if it cannot."""
        if not self._ready:
            channel.send(self.sink, {"model": describe_model(self._model)})
            channel.receive(self.source)
            self._ready = True

    def kill(self) -> None:
        """End the process at once."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the process and forget it."""
        self.kill()
        for stream in (self.sink, self.source):
            with suppress(OSError):
                stream.close()
        self._process.wait()


def environment() -> dict[str, str]:
    """What a process of the server's is to find: one thread for products, and the packages that this one finds."""
    here = str(Path(__file__).resolve().parents[2])
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([here, given] if given else [here])
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}


def own_group() -> dict[str, Any]:
    """Arguments that keep Ctrl-C from a process: it is for the server, which ends its workers itself."""
    return {"process_group": 0} if os.name == "posix" else {}
