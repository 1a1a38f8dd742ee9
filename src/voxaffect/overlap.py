"""What stretches of one signal have in common: windows of three seconds, one each second, share two thirds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from voxaffect.spectral import BLOCK_FRAMES, HOP_LENGTH, Floats, Stft


@dataclass(eq=False)
class Overlap:
    """The MFCCs (T, 40) of the stretch of a signal that was last computed: `n_samples` from its sample `start`.

    It spares work and changes no bit: what does not fit is computed anew. As the signal, it is for one thread at a
    time; feature options must stay the same.
    """

    start: int = 0
    n_samples: int = 0
    mfcc: Floats | None = None

    def common(self, start: int, n_samples: int, stft: Stft) -> tuple[range, int]:
        """Which blocks of frames of another stretch are also of this one, and how many blocks later there."""
        if self.mfcc is None:
            return range(0), 0
        shift, rest = divmod(start - self.start, HOP_LENGTH * BLOCK_FRAMES)
        if rest:
            return range(0), 0
        own, other = stft.inner_blocks(self.n_samples), stft.inner_blocks(n_samples)
        first = max(other.start, own.start - shift)
        return range(first, max(first, min(other.stop, own.stop - shift))), shift


Place: TypeAlias = tuple[Overlap, int]
"""The signal that a stretch is of, and the number of its first sample there."""
