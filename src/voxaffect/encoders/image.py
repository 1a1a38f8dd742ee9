"""The spectrogram as an image, prepared inside the model so that the exported file takes plain decibels.

Two preparations. `published`: per-bin min-max of the training speakers, clipped to [0, 1], 8 bit, ImageNet
mean and standard deviation. `native`: per-bin standardisation and nothing else. Both flip the frequency
axis (high on top). A frozen encoder's image is not fitted: it spans what the features can hold (published), or
is standardised by the level of speech (native).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxaffect.encoders import Inputs, Moments
from voxaffect.encoders.masking import clear, exists, n_hops, stretch

N_BINS = 200
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LOWEST, HIGHEST = -80.0, 0.0
"""dB: the span of the published features."""
SPEECH_MEAN, SPEECH_STD = -80.0, 25.0
"""dB: all bins of the native features of 400 clips of RAVDESS, nEMO and EmoDB together have -81.4 and 24.7."""


class SpectrogramImage(nn.Module):
    """Decibels (B, T, 200) to an image (B, C, H, W) and how many of its W columns exist (B,).

    `size` (height, width) resizes each item's existing frames bilinearly to that size (half-pixel centres, no
    anti-aliasing); None keeps 200 bins and T frames, where columns beyond the existing ones are zero.
    8 bit means truncation, floor(255 x) / 255, as the published program converts its images.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor
    imagenet_mean: Tensor
    imagenet_std: Tensor
    bins: Tensor

    def __init__(
        self, *, published: bool = False, size: tuple[int, int] | None = None, n_channels: int = 1
    ) -> None:
        super().__init__()
        if n_channels not in (1, 3):
            raise ValueError(f"an image has 1 or 3 channels, got {n_channels}")
        self.published, self.size, self.n_channels = published, size, n_channels
        self.register_buffer("low", torch.full((N_BINS,), LOWEST))
        self.register_buffer("high", torch.full((N_BINS,), HIGHEST))
        self.register_buffer("mean", torch.full((N_BINS,), SPEECH_MEAN))
        self.register_buffer("std", torch.full((N_BINS,), SPEECH_STD))
        if published:
            shape = (1, 3, 1, 1)
            self.register_buffer("imagenet_mean", torch.tensor(IMAGENET_MEAN).view(shape), persistent=False)
            self.register_buffer("imagenet_std", torch.tensor(IMAGENET_STD).view(shape), persistent=False)
        if size is not None:
            self.register_buffer("bins", _resize_matrix(N_BINS, size[0]), persistent=False)

    def forward(self, spectrogram: Tensor, n_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image and the number of its columns that exist (int64)."""
        n_frames = n_hops(n_samples, spectrogram.shape[1])
        if self.published:
            x = (spectrogram - self.low) / (self.high - self.low).clamp(min=1e-6)
            x = torch.floor(x.clamp(0.0, 1.0) * 255.0) / 255.0
        else:
            x = (spectrogram - self.mean) / self.std
        x = x.flip(2)  # (B, T, F), high frequencies first
        if self.size is not None:
            n_columns = torch.full_like(n_frames, self.size[1])
            x = stretch(x, n_frames, n_columns, self.size[1]) @ self.bins
            n_frames = n_columns
        else:
            x = clear(x, exists(n_frames, x.shape[1]))
        image = x.transpose(1, 2).unsqueeze(1)  # (B, 1, F, T)
        if self.n_channels == 3:
            image = image.expand(-1, 3, -1, -1)
        if self.published:
            image = (image - self.imagenet_mean) / self.imagenet_std
            if self.n_channels == 1:
                image = image.mean(1, keepdim=True)
            if self.size is None:
                columns = exists(n_frames, image.shape[3]).view(-1, 1, 1, image.shape[3])
                image = image.masked_fill(~columns, 0.0)
        return image, n_frames


class FittedImage(SpectrogramImage):
    """The image whose bins are normalised by what the training speakers have in them."""

    def measure(self, inputs: Inputs) -> Tensor:
        """Existing frames of the batch, (rows, 200) dB."""
        spectrogram = inputs["spectrogram"]
        return spectrogram[exists(n_hops(inputs["n_samples"], spectrogram.shape[1]), spectrogram.shape[1])]

    def fit(self, moments: Moments) -> None:
        """Set minimum, maximum, mean and standard deviation of each bin."""
        for buffer, value in zip(
            (self.low, self.high, self.mean, self.std), moments.low_high() + moments.mean_std(), strict=True
        ):
            buffer.copy_(value)


def _resize_matrix(n_from: int, n_to: int) -> Tensor:
    """Bilinear interpolation along one axis as a matrix (n_from, n_to)."""
    eye = torch.eye(n_from).unsqueeze(0)
    return stretch(eye, torch.tensor([n_from]), torch.tensor([n_to]), n_to)[0].T.contiguous()
