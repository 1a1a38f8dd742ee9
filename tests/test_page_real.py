"""The page with real speech: what is heard live is what the recording gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from browsing import agree, assert_live_is_offline, overheard, page_of
from browsing import browser as started_browser
from fake_models import silence, write_wav
from serving import running

pytestmark = pytest.mark.slow  # a microphone is heard in real time


def test_real_speech_is_heard_live_as_from_its_recording(shared_corpora: Path, tmp_path: Path) -> None:
    """The bundled model on two clips of EmoDB."""
    folder = shared_corpora / "emodb" / "wav"
    clips = [soundfile.read(next(iter(sorted(folder.glob(f"03a*{code}?.flac")))))[0] for code in "WT"]
    spoken = write_wav(tmp_path / "real.wav", silence(0.7), clips[0], silence(1.0), clips[1], silence(1.5))
    with (
        started_browser(spoken) as browser,
        running(tmp_path) as server,
        page_of(browser, server.origin) as page,
    ):
        page.wait_for_selector("#home:not([hidden])")
        heard, _ = overheard(page)
        agree(page)
        for _ in clips:
            page.wait_for_selector("#live-reading .word:text-matches('^(angry|happy|neutral|sad)')")
            page.wait_for_selector("#live-reading .word:text-is('no speech')")
        assert_live_is_offline(page, heard)
