"""The speech detector's weights: where they come from, and what is said where they do not."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

import voxaffect
from voxaffect import speech_detector, speech_network
from voxaffect.audio import read_audio
from voxaffect.cli import main
from voxaffect.errors import ArtefactError, ExitCode
from voxaffect.onnx_fields import float_tensors
from voxaffect.speech_detector import SpeechDetector, detectors, hear
from voxaffect.speech_network import GRAPH, STEPS, find_weights, network, read_network
from voxaffect.vad import LevelDetector

CLIPS = Path(voxaffect.__file__).parent / "clips"


@pytest.fixture
def unknown_network() -> object:
    """Forgets the network before and after a test that hides it."""
    network.cache_clear()
    yield
    network.cache_clear()


@pytest.mark.usefixtures("unknown_network")
def test_without_the_package_it_is_said_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speech_network, "PACKAGES", ("not_installed_at_all",))
    clip = str(CLIPS / "even.wav")
    assert main(["predict", clip]) == ExitCode.NOTHING_USABLE
    err = capsys.readouterr().err
    assert "vad_missing: the speech detector's weights are not installed" in err
    assert "--no-vad" in err
    assert main(["predict", clip, "--no-vad"]) == ExitCode.OK


def test_other_weights_are_refused(tmp_path: Path) -> None:
    for data in (b"", b"no ONNX at all", (Path(voxaffect.__file__).parent / "models").glob("*.onnx")):
        path = tmp_path / "weights.onnx"
        path.write_bytes(data if isinstance(data, bytes) else next(data).read_bytes())
        with pytest.raises(
            ArtefactError, match=r"vad_refused: the speech detector.s weights in .* are not usable"
        ):
            read_network(path)
    with pytest.raises(ArtefactError, match="vad_refused"):
        read_network(tmp_path / "nothing")


def test_weights_are_read_as_onnx_reads_them(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    given = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(7.0)}
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()]
    tensors.append(onnx.numpy_helper.from_array(np.arange(3), "whole numbers"))
    graph = onnx.helper.make_graph([], "g", [], [], tensors)
    found = float_tensors(onnx.helper.make_model(graph).SerializeToString())
    assert {name: shape for name, (shape, _) in found.items()} == {"a": (2, 3), "b": ()}
    for name, value in given.items():
        np.testing.assert_array_equal(np.frombuffer(found[name][1], "<f4").reshape(found[name][0]), value)
    with pytest.raises(ValueError, match="broken or cut short"):
        float_tensors(b"\x3a\x7f")


def test_each_kind_of_detector_is_made() -> None:
    assert detectors(False)() is None
    assert isinstance(detectors("level")(), LevelDetector)
    assert isinstance(detectors(True)(), SpeechDetector)


def test_what_was_heard_before_silence_is_forgotten_after_it() -> None:
    """Digital silence is not looked at; its frames have no speech, and speech after it is found all the same."""
    x = read_audio(CLIPS / "even.wav").samples[:, 0]
    x = x[: len(x) - len(x) % 2048]
    both = np.concatenate([x, np.zeros(2048 * 40, np.float32), x]).reshape(-1, 512)
    speech = SpeechDetector()(both)
    n = len(x) // 512
    assert 0.6 < speech[:n].mean() < 1
    assert not speech[n + 8 : -n].any()
    assert speech[-n:].mean() == pytest.approx(speech[:n].mean(), abs=0.05)
    assert SpeechDetector()(np.zeros((0, 512), np.float32)).shape == (0,)


def test_many_are_heard_together_bit_by_bit_as_each_alone() -> None:
    """Frames come as they come: none, one or several of each; some are silence that the network is not asked of."""
    rng = np.random.default_rng(3)
    x = read_audio(CLIPS / "even.wav").samples[:, 0]
    x = np.concatenate([x[: len(x) - len(x) % 2048], np.zeros(2048 * 12, np.float32), x[: 2048 * 4]])
    sounds = [
        np.roll(x, 2048 * int(rng.integers(40))).reshape(-1, 512) * np.float32(0.5**i) for i in range(6)
    ]
    alone = [SpeechDetector()(frames) for frames in sounds]
    assert 0.1 < np.mean(alone) < 0.9
    many: list[SpeechDetector | None] = [SpeechDetector() for _ in sounds]
    heard: list[list[np.ndarray]] = [[] for _ in sounds]
    at = [0] * len(sounds)
    while any(i < len(frames) for i, frames in zip(at, sounds, strict=True)):
        ends = [i + int(rng.integers(13)) for i in at]
        asked = [(each, frames[i:end]) for each, frames, i, end in zip(many, sounds, at, ends, strict=True)]
        for said, answer in zip(heard, hear(asked), strict=True):
            said.append(answer)
        at = ends
    for said, expected in zip(heard, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(said), expected)
    given = [SpeechDetector().probabilities(frames) for frames in sounds]
    np.testing.assert_array_equal(
        speech_detector._probabilities([(SpeechDetector(), f) for f in sounds]), given
    )


def test_detectors_of_other_kinds_are_heard_beside_it() -> None:
    loud, quiet = np.full((2, 320), 0.5, np.float32), np.zeros((2, 320), np.float32)
    loud[:, ::2] *= -1
    nothing, levels, alone = hear(
        [(None, quiet), (LevelDetector(), np.concatenate([loud, quiet])), (SpeechDetector(), loud[:0, :512])]
    )
    assert nothing.tolist() == [True, True]
    assert levels.tolist() == [True, True, False, False]
    assert alone.shape == (0,)
    assert hear([]) == []


def test_the_bundled_clips_are_speech_and_the_silent_one_is_not() -> None:
    model = voxaffect.load()
    for clip in sorted(CLIPS.iterdir()):
        result = model.predict(clip)
        assert (result.reason == "no_speech") is (clip.stem == "silence"), clip.name


@pytest.mark.parametrize("level", [-50, -20])
def test_music_alone_has_no_label(level: int) -> None:
    """Chords with overtones and a drum; constructed, so that it is the same everywhere."""
    rng = np.random.default_rng(1)
    t = np.arange(8_000) / 16_000
    beats = []
    for root in (48, 53, 55, 48) * 4:
        tones = [
            np.sin(2 * np.pi * k * 440 * 2 ** ((root + n - 69) / 12) * t) / k
            for n in (0, 4, 7, 12, 24)
            for k in range(1, 6)
        ]
        beats.append(sum(tones) * np.exp(-2 * t) + 2 * rng.standard_normal(len(t)) * np.exp(-40 * t))
    x = np.concatenate(beats)
    x *= 10 ** (level / 20) / np.sqrt(np.mean(x**2))
    result = voxaffect.load().predict((x.clip(-1, 1).astype(np.float32), 16_000))
    assert (result.label, result.reason) == (None, "no_speech")


def test_every_fortieth_clip_of_the_corpora_has_speech(shared_corpora: Path) -> None:
    clips = sorted(path for name in ("emodb", "ravdess") for path in (shared_corpora / name).rglob("*.flac"))
    lost = []
    for clip in clips[::40]:
        x = read_audio(clip).samples[:, 0]
        frames = x[: len(x) - len(x) % 2048].reshape(-1, 512)
        if SpeechDetector()(frames).sum() < 4:
            lost.append(clip.name)
    assert len(lost) <= 1, lost


def test_the_graph_is_what_its_module_makes() -> None:
    onnx = pytest.importorskip("onnx")
    from voxaffect.speech_graph import graph

    assert onnx.load_from_string(GRAPH.read_bytes()) == graph()


def test_its_probabilities_are_those_of_its_makers_graph() -> None:
    """Theirs takes a frame at a time."""
    ort = pytest.importorskip("onnxruntime")
    theirs = ort.InferenceSession(str(find_weights()), providers=["CPUExecutionProvider"])
    names = {value.name for value in theirs.get_inputs()}
    x = read_audio(CLIPS / "lively.ogg").samples[:, 0]
    frames = x[: len(x) // 2048 * 2048].reshape(-1, 512)
    state, before, expected = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32), []
    for frame in frames:
        given = {"input": np.concatenate([before, frame[None]], axis=1), "state": state}
        if "sr" in names:
            given["sr"] = np.array(16_000)
        probability, state = theirs.run(None, given)
        expected.append(float(probability[0, 0]))
        before = frame[None, -64:]
    found = SpeechDetector().probabilities(frames)
    assert 0.2 < np.mean(np.array(expected) > 0.3) < 1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_long_stretch_has_the_bits_of_short_ones() -> None:
    """More than one run of the network: what is beyond STEPS frames goes on where those ended."""
    x = np.tile(read_audio(CLIPS / "even.wav").samples[:, 0], 3)
    frames = x[: len(x) // 2048 * 2048].reshape(-1, 512)
    assert len(frames) > 3 * STEPS
    whole, parts = SpeechDetector().probabilities(frames), SpeechDetector()
    found = np.concatenate([parts.probabilities(frames[i : i + 4]) for i in range(0, len(frames), 4)])
    np.testing.assert_array_equal(found, whole)


def test_the_weights_live_as_long_as_the_session_that_reads_them() -> None:
    """The runtime copies none of them; freed memory is soon somebody else's."""
    frames = read_audio(CLIPS / "even.wav").samples[: 2048 * 10, 0].reshape(-1, 512)
    seen = np.pad(frames, ((0, 0), (64, 0)))
    path = find_weights()
    assert path is not None
    made = read_network(path)
    assert {name for name, values in made.weights.items() if values.dtype != np.float32} == set()

    def heard() -> np.ndarray:
        h, c = np.zeros((2, 1, 128), np.float32)
        return made(seen, np.array([0]), np.array([len(seen)]), h, c)

    before = heard()
    gc.collect()
    others = [
        np.full(values.shape, np.nan, np.float32) for values in made.weights.values() for _ in range(20)
    ]
    np.testing.assert_array_equal(heard(), before)
    assert len(others) == 20 * len(made.weights)
