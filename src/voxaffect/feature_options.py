"""How features are made: every number in which the two presets differ, checked at construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from voxaffect.errors import UsageError
from voxaffect.spectral import HOP_LENGTH, SAMPLE_RATE, Stft

N_BINS = 200
"""Spectrogram bins: the lowest 200 of 20 Hz each, 0 to 3980 Hz."""
N_MFCC = 40
"""Cepstral coefficients."""
SEGMENT_SAMPLES = 48_000
"""A segment of the published method: 3 s."""
SEGMENT_FRAMES = SEGMENT_SAMPLES // HOP_LENGTH


_PUBLISHED: Mapping[str, Any] = {
    "preset": "published",
    "pre_emphasis": 0.97,
    "reference": "peak",
    "floor": -80.0,
    "spectrogram_n_fft": 800,
    "spectrogram_taper": "hamming",
    "spectrogram_taper_length": 640,
    "mfcc_n_fft": 2048,
    "mfcc_taper": "hann",
    "mfcc_taper_length": 2048,
    "n_mels": 128,
    "segmentation": "padded",
    "window": 3.0,
    "hop": 3.0,
}


@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """How features are made; the defaults are the preset `native`. Checked at construction.

    preset: the recipe's name; under `published` every other value is fixed.
    pre_emphasis: c of y[n] = x[n] - c x[n-1], y[0] = x[0]; 0 for none. It never reaches log_mel.
    reference: what 0 dB is. `full_scale`: a sine of amplitude 1; a mel band is the mean power of its bins;
        `floor` is absolute. `peak`: the stretch's loudest bin; mel bands have reference 1; `floor` counts
        from the maximum.
    floor: dB below which nothing is told apart.
    spectrogram_n_fft, spectrogram_taper, spectrogram_taper_length: the spectrogram's transform, in samples.
    mfcc_n_fft, mfcc_taper, mfcc_taper_length: that of the MFCC; where both are the same it is computed once.
    n_mels: mel bands under the MFCC.
    segmentation: `windows` (whole windows of real samples) or `padded` (the published 3 s segments).
    window, hop: seconds; window 0 means that the whole recording is one item.

    Raises: ValueError if a value has the wrong type, is out of range, or does not go with the others.
    """

    preset: str = "native"
    pre_emphasis: float = 0.0
    reference: str = "full_scale"
    # The quantisation noise of 16-bit audio, 2^-15 / sqrt(12) RMS, is at -122 dB in each of these bins.
    floor: float = -120.0
    spectrogram_n_fft: int = 800
    spectrogram_taper: str = "hamming"
    spectrogram_taper_length: int = 640
    mfcc_n_fft: int = 800
    mfcc_taper: str = "hamming"
    mfcc_taper_length: int = 640
    # Bins of 20 Hz carry 64 bands. With 128 the lowest bands are 28 Hz wide: seven of them see a single bin,
    # some of them the same one, and the filters are no longer linearly independent.
    n_mels: int = 64
    segmentation: str = "windows"
    window: float = 3.0
    hop: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if field.type == "float" and type(value) is int:
                value = float(value)  # 3 and 3.0 are one value, also in a cache key
                object.__setattr__(self, field.name, value)
            if type(value).__name__ != field.type:
                raise ValueError(f"{field.name} must be of type {field.type}, got {value!r}")
        one_of("preset", self.preset, ("native", "published"))
        one_of("reference", self.reference, ("full_scale", "peak"))
        one_of("segmentation", self.segmentation, ("padded", "windows"))
        if not 0.0 <= self.pre_emphasis < 1.0:
            raise ValueError(f"pre_emphasis must be at least 0 and below 1, got {self.pre_emphasis}")
        if not -200.0 <= self.floor < 0.0:
            raise ValueError(f"floor must be between -200 and 0 dB, got {self.floor}")
        if self.n_mels < N_MFCC:
            raise ValueError(
                f"n_mels must be at least {N_MFCC}, the number of coefficients, got {self.n_mels}"
            )
        if self.spectrogram_stft.n_bins < N_BINS:
            raise ValueError(f"spectrogram_n_fft {self.spectrogram_n_fft} has fewer than {N_BINS} bins")
        _ = self.mfcc_stft  # checks itself
        window_samples(self.window, self.hop)
        if self.segmentation == "padded" and not self.window == self.hop == SEGMENT_SAMPLES / SAMPLE_RATE:
            raise ValueError(f"padded segments have window = hop = 3.0 s, got {self.window} and {self.hop}")
        if self.preset == "published":
            for name, value in _PUBLISHED.items():
                if getattr(self, name) != value:
                    raise ValueError(
                        f"the preset 'published' has {name} = {value!r}, got {getattr(self, name)!r}"
                    )

    @property
    def spectrogram_stft(self) -> Stft:
        """The transform under the spectrogram."""
        return Stft(self.spectrogram_n_fft, self.spectrogram_taper, self.spectrogram_taper_length)

    @property
    def mfcc_stft(self) -> Stft:
        """The transform under the MFCC."""
        return Stft(self.mfcc_n_fft, self.mfcc_taper, self.mfcc_taper_length)

    def to_dict(self) -> dict[str, str | int | float]:
        """Every field by name, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureOptions:
        """The options that `to_dict` wrote, or a recipe's table: what is not given is as in its `preset`.

        Raises: UsageError if a key is unknown (it lists the known) or a value is refused.
        """
        known = [field.name for field in fields(cls)]
        unknown = [key for key in values if key not in known]
        if unknown:
            raise UsageError(
                "unknown_key", f"unknown feature option {unknown[0]!r}; expected some of {known}"
            )
        published = values.get("preset") == "published"
        try:
            return cls(**{**(_PUBLISHED if published else {}), **values})
        except ValueError as error:
            raise UsageError("bad_value", f"feature option: {error}") from error


def window_samples(window_s: float, hop_s: float) -> tuple[int, int]:
    """Window and hop in samples.

    Raises: ValueError if a window is negative or endless, or a hop stands still or leaves gaps between
    windows.
    """
    if not 0.0 <= window_s < float("inf"):
        raise ValueError(f"window must be 0 (everything) or more seconds, got {window_s}")
    if not 1.0 <= hop_s * SAMPLE_RATE < float("inf"):
        raise ValueError(f"hop must be at least one sample, got {hop_s} s")
    window, hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
    if window and hop > window:
        raise ValueError(f"a hop of {hop_s} s leaves gaps between windows of {window_s} s")
    return window, hop


def one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError, listing what is allowed, unless `value` is."""
    if value not in allowed:
        raise ValueError(f"unknown {what} {value!r}; expected one of {list(allowed)}")


NATIVE = FeatureOptions()
PUBLISHED = FeatureOptions(**_PUBLISHED)
PRESETS: Mapping[str, FeatureOptions] = {"native": NATIVE, "published": PUBLISHED}
