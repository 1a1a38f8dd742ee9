"""Fixtures that several test files share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    from voxaffect import enrolling, intake, listening
    from voxaffect.speech_detector import detectors

    for module in (enrolling, intake, listening):
        monkeypatch.setattr(module, "detectors", lambda vad: detectors("level" if vad is True else vad))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless browser whose microphone hears `browsing.conversation`; skips where there is none."""
    import browsing
    from fake_models import write_wav

    heard = write_wav(tmp_path_factory.mktemp("microphone") / "heard.wav", browsing.conversation())
    with browsing.browser(heard) as started:
        yield started


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of the model that hears levels, for a browser."""
    from browsing import three_members
    from serving import running

    folder = tmp_path_factory.mktemp("serve")
    with running(folder, "-m", str(three_members(folder))) as server:
        yield server


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """A watched page of that server, at its start."""
    from browsing import page_of

    with page_of(browser, served.origin) as opened:
        opened.wait_for_selector("#home:not([hidden])")
        yield opened
