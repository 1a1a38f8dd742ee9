"""What befalls speech on its way to a recogniser: telephone, noise, rooms, clipping, cuts, levels, codecs.

A `Condition` is one such change of test audio (N,) float32 at 16 kHz. No kind of noise here is one that
`voxaffect.augmentation` makes: what a model is judged by must not be what it was trained on.

Sources: ITU-T G.711 (mu-law); Polack, "La transmission de l'énergie sonore dans les salles", 1988 (a room as noise that
decays exponentially); Kuttruff, "Room acoustics", section 5.5 (the distance at which a room is as loud as the talker).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from voxaffect.audio import SAMPLE_RATE, mono, read_audio
from voxaffect.errors import UsageError
from voxaffect.vad import FRAME_SAMPLES, frame_levels

Array = np.ndarray[Any, np.dtype[np.float32]]
Voices = Sequence[Array]
"""Clips of other speakers, which babble and the spectrum of speech-shaped noise are made of."""
Noise = Callable[[int, np.random.Generator, Voices], Array]

ACTIVE_DB = 30.0
"""A frame no further below the loudest one is speech: silence around an utterance counts for no level."""
N_VOICES = 6
"""Talkers of a babble: too many to follow, too few to be a steady noise."""
ROOM_VOLUME, DISTANCE = 60.0, 1.5
"""Cubic metres of the rooms, and metres from talker to microphone: a large living room, across the table."""
GAP = round(0.0025 * SAMPLE_RATE)
"""Samples from the direct sound to the first reflection."""
CODECS = {
    "mu-law, 8 kHz": ("wav", "pcm_mulaw", 8_000, 64_000),
    "MP3, 32 kbit/s": ("mp3", "libmp3lame", 16_000, 32_000),
    "Opus, 12 kbit/s": ("ogg", "libopus", 16_000, 12_000),
    "AMR, 12 kbit/s, 8 kHz": ("amr", "libopencore_amrnb", 8_000, 12_200),
}
"""Container, FFmpeg's encoder, sample rate (Hz) and bits a second of each way of coding."""


@dataclass(frozen=True)
class Condition:
    """One change of test audio: `alter` gives the altered waveform. `group` is what `--conditions` takes."""

    name: str
    group: str
    alter: Callable[[Array, np.random.Generator, Voices], Array]


def conditions(groups: Sequence[str] = ()) -> tuple[Condition, ...]:
    """The conditions of `groups`, in the order of the table; without any, all.

    Raises:
        UsageError: `unknown_condition`.
    """
    for group in groups:
        if group not in GROUPS:
            raise UsageError(
                "unknown_condition", f"unknown conditions {group!r}; expected some of {[*GROUPS]}"
            )
    return tuple(c for c in _ALL if not groups or c.group in groups)


def active_power(waveform: Array) -> float:
    """The mean power of the 20 ms frames that are within ACTIVE_DB of the loudest one; 0 for silence."""
    if not len(waveform) or not np.any(waveform):
        return 0.0
    levels = frame_levels(waveform)
    active = levels[levels >= levels.max() - ACTIVE_DB]
    return float(np.mean(10 ** (active / 10)))


def with_noise(
    waveform: Array, rng: np.random.Generator, voices: Voices, *, noise: Noise, snr_db: float
) -> Array:
    """`waveform` in `noise` whose mean power is `snr_db` below that of the speech (`active_power`)."""
    added = noise(len(waveform), rng, voices)
    power, noise_power = active_power(waveform), float(np.mean(added**2)) if len(added) else 0.0
    if power <= 0 or noise_power <= 0:
        return waveform
    return recorded(waveform + added * np.float32(np.sqrt(power / noise_power * 10 ** (-snr_db / 10))))


def babble(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of N_VOICES clips at once, each as loud as the others, repeated from a random sample on."""
    total = np.zeros(n, np.float32)
    for _ in range(N_VOICES if voices else 0):
        voice = voices[int(rng.integers(len(voices)))]
        at = (int(rng.integers(len(voice))) + np.arange(n)) % len(voice)
        total += voice[at] / np.float32(np.sqrt(max(active_power(voice), 1e-12)))
    return total


def speech_shaped(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of steady noise with the mean power spectrum of `voices`."""
    size = 512
    power = np.zeros(size // 2 + 1)
    for voice in voices:
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(voice, (0, size)), size)[:: size // 2]
        spectrum = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
        power += spectrum.mean(axis=0) / max(active_power(voice), 1e-12)
    white = np.fft.rfft(rng.standard_normal(max(n, 1)))
    gain = np.sqrt(np.interp(np.linspace(0, 1, len(white)), np.linspace(0, 1, len(power)), power))
    return np.fft.irfft(white * gain, max(n, 1))[:n].astype(np.float32)


def hum(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of mains hum (50 or 60 Hz, 20 harmonics) and a motor whose tone rises and falls in strength."""
    time = np.arange(n) / SAMPLE_RATE
    mains = _harmonics(time, float(rng.choice([50.0, 60.0])), 20, rng)
    motor = _harmonics(time, rng.uniform(80, 200), 8, rng)
    swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(4, 12) * time + rng.uniform(0, 2 * np.pi))
    return (mains + motor * swell).astype(np.float32)


def music(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of four chords in turn, half a second each, of plucked strings."""
    step = SAMPLE_RATE // 2
    time = np.arange(step) / SAMPLE_RATE
    root = 110 * 2 ** (rng.integers(0, 13) / 12)
    total = np.zeros(n + step, np.float32)
    for k, start in enumerate(range(0, n, step)):
        chord = np.zeros(step)
        for semitones in ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))[k % 4]:
            chord += _harmonics(time, root * 2 ** (semitones / 12), 8, rng)
        total[start : start + step] = chord * np.exp(-4 * time)
    return np.roll(total[:n], int(rng.integers(max(n, 1))))


def reverberant(waveform: Array, rng: np.random.Generator, voices: Voices, *, rt60: float) -> Array:
    """`waveform` in a room where sound falls by 60 dB within `rt60` seconds, as loud as before."""
    response = impulse_response(rt60, rng)
    length = 1 << (len(waveform) + len(response)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(waveform, length) * np.fft.rfft(response, length), length)
    return as_loud(wet[: len(waveform)].astype(np.float32), waveform)


def impulse_response(rt60: float, rng: np.random.Generator) -> Array:
    """(round(16000 rt60),): the direct sound, 1, then Gaussian noise whose amplitude is 10^(-3 t / rt60).

    Direct and reverberant energy are equal at the critical distance 0.1 sqrt(V / (pi rt60)); at DISTANCE the direct
    sound is weaker by its square.
    """
    n = round(rt60 * SAMPLE_RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail[:GAP] = 0
    critical = 0.1 * np.sqrt(ROOM_VOLUME / (np.pi * rt60))
    tail *= DISTANCE / critical / np.sqrt((tail**2).sum())
    tail[0] = 1
    return tail.astype(np.float32)


def clipped(waveform: Array, rng: np.random.Generator, voices: Voices, *, by_db: float) -> Array:
    """`waveform` cut off `by_db` below its peak, as loud as before: what a recording too loud becomes."""
    limit = np.abs(waveform).max(initial=0.0) * 10 ** (-by_db / 20)
    return as_loud(np.clip(waveform, -limit, limit).astype(np.float32), waveform)


def first(waveform: Array, rng: np.random.Generator, voices: Voices, *, seconds: float) -> Array:
    """The first `seconds` from where speech begins: the first frame within ACTIVE_DB of the loudest."""
    levels = frame_levels(waveform)
    onset = int(np.argmax(levels >= levels.max() - ACTIVE_DB)) * FRAME_SAMPLES
    return waveform[onset : onset + round(seconds * SAMPLE_RATE)]


def at_level(waveform: Array, rng: np.random.Generator, voices: Voices, *, dbfs: float | None) -> Array:
    """`waveform` recorded with speech (`active_power`) at `dbfs`; None: with its peak at full scale."""
    peak, power = float(np.abs(waveform).max(initial=0.0)), active_power(waveform)
    if power <= 0:
        return waveform
    return recorded(waveform * np.float32(1 / peak if dbfs is None else 10 ** (dbfs / 20) / np.sqrt(power)))


def coded(waveform: Array, rng: np.random.Generator, voices: Voices, *, codec: str) -> Array:
    """`waveform` through one of CODECS: resampled, encoded, and read again as any file is, (N,) like before.

    Raises:
        UsageError: `no_codec` where this build of FFmpeg cannot encode it.
    """
    container, encoder, rate, bit_rate = CODECS[codec]
    samples = mono(read_audio(encode(waveform, container, encoder, rate, bit_rate)).samples)
    return np.pad(samples[: len(waveform)], (0, max(len(waveform) - len(samples), 0)))


def encode(waveform: Array, container: str, encoder: str, rate: int, bit_rate: int) -> bytes:
    """The bytes of a file of `waveform` (N,) at 16 kHz, brought to `rate` Hz and coded.

    Raises:
        UsageError: `no_codec`.
    """
    import av
    import soxr

    samples = soxr.resample(waveform, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else waveform
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format=container) as file:
            stream: Any = file.add_stream(encoder, rate=rate)  # the stubs know no encoder by its name alone
            stream.bit_rate = bit_rate
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate = rate
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:  # an encoder that is not there is a ValueError
        raise UsageError("no_codec", f"FFmpeg cannot write {encoder} here ({error})") from error
    return buffer.getvalue()


def recorded(waveform: Array) -> Array:
    """`waveform` in 16 bits, turned down where it would not fit."""
    peak = max(float(np.abs(waveform).max(initial=0.0)), 1.0)
    return (np.round(waveform / peak * 32767) / 32767).astype(np.float32)


def as_loud(changed: Array, waveform: Array) -> Array:
    """`changed` with the `active_power` of `waveform`, in 16 bits; silence as it is."""
    power, wanted = active_power(changed), active_power(waveform)
    return recorded(changed * np.float32(np.sqrt(wanted / power))) if power > 0 else changed


def _harmonics(time: np.ndarray, hz: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """A tone of `n` harmonics whose amplitudes fall as 1 / k, with random phases."""
    total = np.zeros(len(time))
    for k in range(1, n + 1):
        if k * hz < SAMPLE_RATE / 2:
            total += np.sin(2 * np.pi * k * hz * time + rng.uniform(0, 2 * np.pi)) / k
    return total


def _every() -> tuple[Condition, ...]:
    telephone, *codecs = CODECS
    found = [Condition(telephone, "telephone", partial(coded, codec=telephone))]
    for group, noise in (
        ("babble", babble),
        ("speech-shaped", speech_shaped),
        ("hum", hum),
        ("music", music),
    ):
        found += [
            Condition(f"{group}, SNR {snr} dB", group, partial(with_noise, noise=noise, snr_db=snr))
            for snr in (20, 10, 5, 0)
        ]
    found += [
        Condition(f"room, RT60 {s:g} s", "reverberation", partial(reverberant, rt60=s))
        for s in (0.3, 0.6, 1.0)
    ]
    found += [Condition(f"clipped by {db} dB", "clipping", partial(clipped, by_db=db)) for db in (6, 12, 20)]
    found += [Condition(f"first {s:g} s", "length", partial(first, seconds=s)) for s in (0.5, 1.0, 2.0, 3.0)]
    found += [
        Condition(f"speech at {db} dBFS", "level", partial(at_level, dbfs=db)) for db in (-60, -50, -40, -30)
    ]
    found += [Condition("peak at full scale", "level", partial(at_level, dbfs=None))]
    found += [Condition(codec, "codec", partial(coded, codec=codec)) for codec in codecs]
    return tuple(found)


_ALL = _every()
GROUPS = tuple(dict.fromkeys(c.group for c in _ALL))
"""What `--conditions` can name."""
