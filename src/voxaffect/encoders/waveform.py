"""A small speech encoder for raw waveforms, trained from random weights: a learned filterbank and conv
blocks.

The filters start as windowed sines and cosines on the mel scale (25 ms, every 10 ms); their log power,
standardised on the training speakers, goes through a strided convolution to 50 states a second and
separable residual blocks (Z. Liu et al., "A ConvNet for the 2020s", CVPR 2022, in one dimension). Log power
keeps the loudness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.encoders import Inputs, Moments
from voxaffect.encoders.masking import HOP_LENGTH, clear, divide_down, divide_up, exists, is_tracing, n_hops
from voxaffect.errors import UsageError

SAMPLE_RATE = 16_000
KERNEL = 400
"""Samples of a filter: 25 ms."""
POWER_FLOOR = 1e-6


@dataclass(frozen=True)
class WaveformOptions:
    """`filters` of the filterbank, `dim` of the states, `depth` residual blocks of `kernel` states,
    `dropout`.
    """

    filters: int = 40
    dim: int = 96
    depth: int = 2
    kernel: int = 9
    expansion: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.filters, self.dim, self.expansion) < 1 or self.depth < 0:
            raise UsageError("bad_option", "waveform filters, dim and expansion must be at least 1, depth 0")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError("bad_option", f"waveform kernel must be odd, got {self.kernel}")


class WaveformEncoder(nn.Module):
    """Waveform (B, N) to states (B, ceil(floor(N / 160) / 2), D), 50 a second."""

    inputs = ("waveform",)
    mean: Tensor
    std: Tensor

    def __init__(self, options: WaveformOptions) -> None:
        super().__init__()
        self.options, self.dim = options, options.dim
        self.filterbank = nn.Conv1d(1, 2 * options.filters, KERNEL, stride=HOP_LENGTH, bias=False)
        with torch.no_grad():
            self.filterbank.weight.copy_(mel_filters(options.filters).unsqueeze(1))
        self.register_buffer("mean", torch.full((options.filters,), math.log(POWER_FLOOR) / 2))
        self.register_buffer("std", torch.full((options.filters,), 3.0))
        self.halve = nn.Conv1d(options.filters, options.dim, 4, stride=2)
        self.norm = nn.LayerNorm(options.dim)
        self.blocks = nn.ModuleList(SeparableBlock(options) for _ in range(options.depth))

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return states (B, T', D) and which of them exist (B, T')."""
        x, n = self.log_power(inputs)
        x = clear((x - self.mean) / self.std, exists(n, x.shape[1]))
        x = self.halve(F.pad(x.transpose(1, 2), (1, 2))).transpose(1, 2)  # ceil(T / 2)
        mask = exists(divide_up(n, 2), x.shape[1])
        x = clear(F.gelu(self.norm(x)), mask)
        for block in self.blocks:
            x = clear(block(x), mask)
        return x, mask

    def n_states(self, n_samples: Tensor) -> Tensor:
        """Return how many states `n_samples` (B,) give, at least one."""
        return divide_up(divide_down(n_samples, HOP_LENGTH), 2).clamp(min=1)

    def log_power(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the filterbank's log power (B, floor(N / 160), filters) and the frames that exist (B,)."""
        waveform = inputs["waveform"]
        if not is_tracing() and waveform.shape[1] < HOP_LENGTH:
            raise ValueError(f"the waveform needs at least {HOP_LENGTH} samples, got {waveform.shape[1]}")
        # Half the overlap on either side: N samples give floor(N / 160) frames.
        margin = (KERNEL - HOP_LENGTH) // 2
        x = self.filterbank(F.pad(waveform, (margin, margin)).unsqueeze(1))  # (B, 2 filters, T)
        x = x.square()
        power = x[:, : self.options.filters] + x[:, self.options.filters :]
        log_power = torch.log(power + POWER_FLOOR).transpose(1, 2)
        return log_power, n_hops(inputs["n_samples"], log_power.shape[1])

    @torch.no_grad()
    def measure(self, inputs: Inputs) -> Tensor:
        """Log power of the existing frames, (rows, filters)."""
        x, n = self.log_power(inputs)
        rows: Tensor = x[exists(n, x.shape[1])]
        return rows

    def fit(self, moments: Moments) -> None:
        """Set mean and standard deviation of each filter's log power."""
        mean, std = moments.mean_std()
        self.mean.copy_(mean)
        self.std.copy_(std)


class SeparableBlock(nn.Module):
    """Residual block: depthwise convolution over time, norm, and a two-layer network per state."""

    def __init__(self, options: WaveformOptions) -> None:
        super().__init__()
        dim, hidden = options.dim, options.dim * options.expansion
        self.depthwise = nn.Conv1d(dim, dim, options.kernel, padding=options.kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand, self.contract = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (B, T, D) to (B, T, D)."""
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        y = self.contract(self.dropout(F.gelu(self.expand(self.norm(y)))))
        out: Tensor = x + self.dropout(y)
        return out


def mel_filters(n_filters: int, low: float = 50.0, high: float = 7600.0) -> Tensor:
    """Cosine and sine filters (2 n_filters, 400) under Hann windows, centred evenly on the mel scale.

    Their window is as long as the filter allows and shrinks as the mel band widens, to match the band's
    width. Each has unit energy, so a filter's power is that of the waveform in its band. HTK's mel formula.
    """
    mel_low, mel_high = (2595.0 * math.log10(1.0 + f / 700.0) for f in (low, high))
    mels = torch.linspace(mel_low, mel_high, n_filters + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    centre, width = edges[1:-1, None], (edges[2:] - edges[:-2])[:, None]
    length = (4.0 * SAMPLE_RATE / width).clamp(max=KERNEL)  # a Hann window's main lobe is 4 / length wide
    time = torch.arange(KERNEL, dtype=torch.float64)[None] - (KERNEL - 1) / 2
    window = torch.cos(math.pi * time / length).square() * (time.abs() <= length / 2)
    phase = 2.0 * math.pi * centre / SAMPLE_RATE * time
    filters = torch.cat([window * torch.cos(phase), window * torch.sin(phase)])
    unit: Tensor = filters / filters.norm(dim=1, keepdim=True)
    return unit.float()
