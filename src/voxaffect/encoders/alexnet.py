"""AlexNet's convolutional features over the spectrogram image, with ImageNet weights where there are some.

Source: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997,
in the layout of torchvision's `alexnet` (state-dict names `features.0.weight` ...). Its classifier is not
used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.checkpoints import find_file
from voxaffect.encoders.masking import divide_down, divide_up, exists, length_after, positions
from voxaffect.encoders.spectrogram import SpectrogramEncoder
from voxaffect.errors import ArtefactError, UsageError

POOLED = 6
"""Rows and columns after the adaptive average pool."""
MIN_FRAMES = 63
"""Frames below which AlexNet's layers run out of input; so many zeros are put behind a native image."""


@dataclass(frozen=True)
class AlexNetOptions:
    """`resolution` "256x384" (published) or "native"; `image` as in the ViT; `weights` a torchvision state dict, or
    the name of one that can be downloaded; `frozen` keeps them as they are.
    """

    resolution: Literal["256x384", "native"] = "256x384"
    image: Literal["published", "native"] = "published"
    weights: str | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.resolution not in ("256x384", "native"):
            raise UsageError(
                "bad_option",
                f"alexnet resolution {self.resolution!r}; expected one of ['256x384', 'native']",
            )
        if self.image not in ("published", "native"):
            raise UsageError(
                "bad_option", f"alexnet image {self.image!r}; expected one of ['published', 'native']"
            )
        if self.frozen and self.weights is None:
            raise UsageError(
                "bad_option", "alexnet frozen = true needs weights: random ones would stay random"
            )


class AlexNet(SpectrogramEncoder):
    """Spectrogram (B, T, 200) to six states over time (B, 6, 256 * 6): channels x frequency bands.

    Pooled they are one state of 9216, time outermost.

    Native images of any length: after every layer what lies beyond an item's valid length is zero, and the
    adaptive pool divides each item's own length by six.
    """

    options: AlexNetOptions

    def __init__(self, options: AlexNetOptions, *, pooled: bool = False) -> None:
        native = options.resolution == "native"
        super().__init__(options, size=None if native else (256, 384), n_channels=3, pooled=pooled)
        self.dim = 256 * POOLED * (POOLED if pooled else 1)
        self.padding = MIN_FRAMES if native else 0
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        if options.weights is not None:
            self.load_imagenet(options.weights)
        self.freeze()

    def encode(self, image: Tensor, n_columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (B, 6, 1536) and a mask (B, 6) that is True throughout."""
        n = n_columns
        x = F.pad(image, (0, self.padding))
        for layer in self.features:
            x = layer(x)
            if self.padding and isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                n = length_after(n, *_shape(layer))
                x = x.masked_fill(~exists(n, x.shape[3])[:, None, None, :], 0.0)
        if not self.padding:
            n = torch.full_like(n, 11)  # columns that 384 become
        pooled = self._pool(x, n)  # (B, 256, 6, 6)
        states = pooled.permute(0, 3, 1, 2).flatten(2)
        return states, exists(torch.full_like(n, POOLED), POOLED)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the flattened features (B, 9216), time outermost."""
        return states.flatten(1)

    def n_states(self, n_samples: Tensor) -> Tensor:
        """Return 6 for each item."""
        return torch.full_like(n_samples, POOLED)

    def load_imagenet(self, name: str) -> None:
        """Load the features of a torchvision AlexNet state dict: a .pth or .safetensors file, or a name of one.

        Raises:
            ArtefactError: no such file (`model_missing`), or not AlexNet's state dict (`model_damaged`).
        """
        file = find_file(name, cache=Path(torch.hub.get_dir()) / "checkpoints")
        try:
            if file.suffix == ".safetensors":
                from safetensors.torch import load_file

                state = load_file(file)
            else:
                state = torch.load(file, map_location="cpu", weights_only=True)
            prefix = "features."
            self.features.load_state_dict(
                {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            )
        except Exception as error:  # torch.load raises whatever the file provokes
            reason = str(error).split("\n")[0]
            raise ArtefactError("model_damaged", f"{file} is no AlexNet state dict: {reason}") from error

    @staticmethod
    def _pool(x: Tensor, n_columns: Tensor) -> Tensor:
        """Adaptive average pool to 6 x 6 over each item's own columns."""
        cells = positions(POOLED, n_columns)
        start = divide_down(cells * n_columns.unsqueeze(1), POOLED)  # (B, 6)
        end = divide_up((cells + 1) * n_columns.unsqueeze(1), POOLED)
        columns = positions(x.shape[3], n_columns)
        inside = (columns >= start.unsqueeze(2)) & (columns < end.unsqueeze(2))  # (B, 6, T')
        weights = inside.to(x.dtype) / (end - start).unsqueeze(2).to(x.dtype)
        return _bands(x) @ weights.transpose(1, 2).unsqueeze(1)


def _bands(x: Tensor) -> Tensor:
    """Adaptive average pool of the frequency axis to six bands: (B, C, H, W) to (B, C, 6, W)."""
    height = int(x.shape[2])
    spans = [(i * height // POOLED, -(-(i + 1) * height // POOLED)) for i in range(POOLED)]
    return torch.stack([x[:, :, start:end].mean(2) for start, end in spans], dim=2)


def _shape(layer: nn.Conv2d | nn.MaxPool2d) -> tuple[int, int, int]:
    """Kernel, stride and padding along time."""
    values = [v[1] if isinstance(v, tuple) else v for v in (layer.kernel_size, layer.stride, layer.padding)]
    return int(values[0]), int(values[1]), int(values[2])
