"""Enrolment hears the speech in clips as prediction does, and says so where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import voxaffect
from fake_models import RATE, silence, square, write_wav
from voxaffect.audio import read_audio
from voxaffect.cli import main
from voxaffect.errors import AudioError, ExitCode
from voxaffect.predictor import Predictor

CLIPS = Path(voxaffect.__file__).parent / "clips"


@pytest.fixture(scope="module")
def model() -> Predictor:
    """The bundled model, which adapts."""
    return voxaffect.load()


def speech() -> np.ndarray:
    return read_audio(CLIPS / "slow.flac").samples[:, 0]


def noise(seconds: float) -> np.ndarray:
    """Loud, and no speech."""
    return np.random.default_rng(3).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def enrolled(model: Predictor, *clips: np.ndarray, vad: bool | str = True) -> tuple[float, str]:
    """Seconds, and the warning that tells of them."""
    result = model.predict((speech(), RATE), enrol=[(clip, RATE) for clip in clips], vad=vad)
    assert result.settings is not None
    assert result.settings.enrolled_seconds is not None
    (message,) = (w.message for w in result.warnings if w.code == "adapted")
    return result.settings.enrolled_seconds, message


def test_the_utterances_of_a_clip_are_enrolled_each_second_once(model: Predictor) -> None:
    clip = np.concatenate([silence(2), speech(), silence(2), speech(), silence(2)])
    utterances = [
        (event.start, end.end)
        for events in [list(model.hear((clip, RATE)).events())]
        for event, end in zip(
            (e for e in events if e.to_dict()["type"] == "utterance.start"),
            (e for e in events if e.to_dict()["type"] == "utterance.end"),
            strict=True,
        )
    ]
    seconds, _ = enrolled(model, clip)
    assert seconds == pytest.approx(sum(end - start for start, end in utterances), abs=0.01)
    assert len(utterances) >= 2


def test_noise_around_speech_is_left_out(model: Predictor) -> None:
    alone, _ = enrolled(model, speech())
    noisy = np.concatenate([noise(4), silence(1), speech(), silence(1), noise(4)])
    assert enrolled(model, noisy)[0] == pytest.approx(alone, abs=0.7)  # padding where the clip had none
    assert enrolled(model, noisy, vad="level")[0] > alone + 8  # by its level, noise is speech
    assert enrolled(model, noisy, vad=False)[0] == pytest.approx(len(noisy) / RATE, abs=0.01)


def test_clips_without_speech_are_counted(model: Predictor) -> None:
    _, message = enrolled(model, speech(), noise(3), silence(1))
    assert re.match(r"to \d\.\d s of speech in 1 of 3 clips; 10 s and more do better", message)
    assert " in 1 clip;" in enrolled(model, speech())[1]


def test_a_voice_is_no_other_for_noise_beside_it(model: Predictor) -> None:
    clean = model.predict((speech(), RATE), enrol=[(speech(), RATE)])
    beside = model.predict((speech(), RATE), enrol=[(speech(), RATE), (noise(10), RATE)])
    assert beside.probs == clean.probs


def test_no_speech_at_all_enrols_nobody(model: Predictor, tmp_path: Path) -> None:
    with pytest.raises(
        AudioError, match="no_speech: there is no speech in the clip to enrol; listen to"
    ) as one:
        enrolled(model, noise(3))
    assert one.value.code == "no_speech"
    with pytest.raises(AudioError, match="there is no speech in any of the 2 clips to enrol"):
        enrolled(model, noise(3), square(0.4, 3))


def test_the_command_says_it_and_no_vad_enrols_it_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hum = str(write_wav(tmp_path / "hum.wav", square(0.4, 3)))
    arguments = ["predict", str(CLIPS / "slow.flac"), "--enrol", hum]
    assert main(arguments) == ExitCode.NOTHING_USABLE
    assert capsys.readouterr() == (
        "",
        "voxaffect: error: no_speech: there is no speech in the clip to enrol; "
        "listen to what you name; --no-vad enrols it all, whatever it is\n",
    )
    assert main([*arguments, "--no-vad"]) == ExitCode.OK
    assert "adapted: to 3.0 s of audio in 1 clip; 10 s and more do better" in capsys.readouterr().out
