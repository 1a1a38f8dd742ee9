"""Fixtures that several test files share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A shell starts what it sends to the background deaf to Ctrl-C, and programs pass that on to those that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"needs ../shared/{folder}, which is not here")
    return path


@pytest.fixture(scope="session")
def shared_corpora() -> Path:
    """The folder of real corpora; skips where it is absent."""
    return _shared("corpora")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of real encoder weights; skips where it is absent."""
    return _shared("weights")


@pytest.fixture
def sound_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets levels stand for speech: the fake model's square waves are no speech to a speech detector."""
    from voxaffect import listening, stream
    from voxaffect.speech_detector import detectors

    for module in (listening, stream):
        monkeypatch.setattr(module, "detectors", lambda vad: detectors("level" if vad is True else vad))
