"""The microphone, through PortAudio: blocks of samples as they are heard."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from voxaffect.errors import ResourceError, UsageError, missing_extra

BLOCK_SECONDS = 0.1
MAX_WAITING = 100
"""Blocks (10 s) that may wait to be read; what comes on top is dropped, and counted."""


class Source(Protocol):
    """Where live audio comes from; a context manager."""

    name: str
    sample_rate: int
    n_dropped: int

    def __enter__(self) -> Source: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self) -> npt.NDArray[np.float32] | None:
        """The next samples (n,), full scale 1; nothing (0,) if none came for a while; None at the end."""
        ...


@dataclass(frozen=True)
class Device:
    """A microphone as the system names it; `is_default` if it is used where none is named."""

    number: int
    name: str
    channels: int
    sample_rate: int
    is_default: bool


def list_devices() -> list[Device]:
    """The microphones of this machine, which may be none.

    Raises UsageError `missing_dependency` without the package, ResourceError `no_audio_system` without its library.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    found: Iterable[Any] = enumerate(sounddevice.query_devices())
    return [
        Device(
            number,
            str(device["name"]),
            int(device["max_input_channels"]),
            round(device["default_samplerate"]),
            number == default,
        )
        for number, device in found
        if device["max_input_channels"] > 0
    ]


def open_microphone(which: str | None = None) -> Microphone:
    """The microphone `which`, by number or a part of its name; by default the system's.

    Raises as `list_devices`; ResourceError `no_microphone` if there is none, `microphone_refused` if it cannot be
    opened; UsageError `unknown_microphone` for another name.
    """
    devices = list_devices()
    if not devices:
        raise ResourceError(
            "no_microphone",
            "there is no microphone on this machine",
            hint="plug one in, or judge a recording: voxaffect predict FILE",
        )
    if which is None:
        chosen = [device for device in devices if device.is_default] or devices[:1]
    elif which.isdecimal():
        chosen = [device for device in devices if device.number == int(which)]
    else:
        chosen = [device for device in devices if which.lower() in device.name.lower()]
    if len(chosen) != 1:
        names = [f"{device.number} {device.name}" for device in devices]
        what = "several microphones are" if chosen else "no microphone is"
        raise UsageError("unknown_microphone", f"{what} called {which!r}; expected one of {names}")
    return Microphone(chosen[0])


class Microphone:
    """A device that is being listened to, its first channel; a `Source`."""

    def __init__(self, device: Device) -> None:
        sounddevice = _sounddevice()
        self.name, self.sample_rate = device.name, device.sample_rate
        self.n_dropped = 0
        """Blocks that came faster than they were read."""
        self._blocks: queue.Queue[npt.NDArray[np.float32]] = queue.Queue(MAX_WAITING)
        try:
            self._stream = sounddevice.InputStream(
                samplerate=self.sample_rate,
                blocksize=round(BLOCK_SECONDS * self.sample_rate),
                device=device.number,
                channels=1,
                dtype="float32",
                callback=self._take,
            )
        except sounddevice.PortAudioError as error:
            raise ResourceError(
                "microphone_refused",
                f"{device.name} cannot be opened ({error})",
                hint="is another program using it, or is this one not allowed to?",
            ) from error

    def __enter__(self) -> Microphone:
        self._stream.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def read(self) -> npt.NDArray[np.float32] | None:
        """The next block (n,), or nothing after half a second without any."""
        try:
            return self._blocks.get(timeout=0.5)
        except queue.Empty:
            return np.zeros(0, np.float32)

    def _take(self, samples: npt.NDArray[np.float32], frames: int, time: object, status: object) -> None:
        try:
            self._blocks.put_nowait(samples[:, 0].copy())
        except queue.Full:
            self.n_dropped += 1


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise missing_extra("sounddevice", "listen") from error
    except OSError as error:  # the package without its library
        raise ResourceError(
            "no_audio_system",
            f"the sound library PortAudio is not there ({error})",
            hint="install it with the system's packages, on Debian: apt install libportaudio2",
        ) from error
    return sounddevice
