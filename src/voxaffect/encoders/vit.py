"""Vision transformer over the spectrogram, at the image's own resolution or resized to 224 x 224.

Source: A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; pre-norm blocks as in
`transformers`' ViTModel, whose checkpoints load. Native resolution: 200 bins x T frames cut into patches,
position embeddings interpolated along time to each item's length, masked attention, so any length works and
padding changes nothing. The convolutional stem follows T. Xiao et al., "Early Convolutions Help
Transformers See Better", NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.encoders.checkpoint import load_vit
from voxaffect.encoders.image import N_BINS
from voxaffect.encoders.masking import (
    HOP_LENGTH,
    divide_down,
    divide_up,
    exists,
    is_tracing,
    masked_mean,
    sample_points,
    split_heads,
)
from voxaffect.encoders.spectrogram import SpectrogramEncoder
from voxaffect.errors import ArtefactError, UsageError

BASE_FRAMES = 300
"""Frames for which the position grid is the identity: 3 s."""


@dataclass(frozen=True)
class VitOptions:
    """Options of the vision transformer; the defaults are ViT-B with native 20 x 20 patches.

    `patch` is (bins, frames); `resolution` "native" or "224"; `pooling` "mean" or "cls" (adds the class
    token); `stem` "patch" (one linear patch embedding) or "conv" (three strided convolutions, for training
    from random weights); `image` "native" or "published"; `weights` an ImageNet checkpoint to start from, a
    folder or hub name; `frozen` keeps them as they are.
    """

    patch: tuple[int, int] = (20, 20)
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    resolution: Literal["native", "224"] = "native"
    pooling: Literal["mean", "cls"] = "mean"
    stem: Literal["patch", "conv"] = "patch"
    image: Literal["native", "published"] = "native"
    n_channels: int = 3
    norm_eps: float = 1e-12
    weights: str | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", tuple(self.patch))
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    "bad_option", f"vit {name} {getattr(self, name)!r}; expected one of {list(allowed)}"
                )
        if self.dim % self.heads:
            raise UsageError("bad_option", f"vit dim {self.dim} is no multiple of its {self.heads} heads")
        height = 224 if self.resolution == "224" else N_BINS
        if len(self.patch) != 2 or min(self.patch) < 2 or height % self.patch[0]:
            raise UsageError("bad_option", f"vit patch {self.patch} does not divide {height} rows evenly")
        if self.stem == "conv" and (self.patch[0] % 4 or self.patch[1] % 4):
            raise UsageError("bad_option", f"a conv stem needs a patch of multiples of 4, got {self.patch}")
        if self.frozen and self.weights is None:
            raise UsageError("bad_option", "vit frozen = true needs weights: random ones would stay random")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and, for an image of the base length, along time."""
        height, width = (224, 224) if self.resolution == "224" else (N_BINS, BASE_FRAMES)
        return height // self.patch[0], -(-width // self.patch[1])


_ALLOWED = {
    "resolution": ("native", "224"),
    "pooling": ("mean", "cls"),
    "stem": ("patch", "conv"),
    "image": ("native", "published"),
    "n_channels": (1, 3),
}


class VisionTransformer(SpectrogramEncoder):
    """Spectrogram (B, T, 200) to patch states (B, P, D), P = frequency patches x time patches, time
    outermost.

    With `pooling="cls"` the class token is state 0, and the one that is left if pooled.
    """

    options: VitOptions

    def __init__(self, options: VitOptions, *, pooled: bool = False) -> None:
        size = (224, 224) if options.resolution == "224" else None
        super().__init__(options, size=size, n_channels=options.n_channels, pooled=pooled)
        self.dim = options.dim
        self.stem: PatchStem | ConvStem = ConvStem(options) if options.stem == "conv" else PatchStem(options)
        rows, columns = options.grid
        self.positions = nn.Parameter(torch.empty(columns, rows, options.dim))  # time, frequency, D
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.cls_token: nn.Parameter | None = None
        if options.pooling == "cls":
            self.cls_token = nn.Parameter(torch.zeros(1, 1, options.dim))
        self.dropout = nn.Dropout(options.dropout)
        self.blocks = nn.ModuleList(
            Block(options.dim, options.heads, options.mlp_ratio, options.dropout, options.norm_eps)
            for _ in range(options.depth)
        )
        self.norm = nn.LayerNorm(options.dim, eps=options.norm_eps)
        if options.weights is not None:
            self.load_imagenet(options.weights)
        self.freeze()

    def encode(self, image: Tensor, n_columns: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a prepared `image` (B, C, H, W) of which `n_columns` (B,) exist."""
        if not is_tracing() and image.shape[3] < 2:
            raise ValueError(f"the spectrogram needs at least 2 frames (160 samples), got {image.shape[3]}")
        x = self.stem(image, n_columns)  # (B, T', F', D)
        n_patches = divide_up(n_columns, self.options.patch[1])
        x = x + self._positions(n_patches, x.shape[1])
        mask = exists(n_patches, x.shape[1]).unsqueeze(2).expand(-1, -1, self.options.grid[0]).flatten(1)
        x = x.flatten(1, 2)  # (B, P, D)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
            mask = torch.cat(
                [mask[:, :1], mask], dim=1
            )  # the first patch always exists, and so does the token
        x = self.dropout(x)
        bias = torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, -1e9)[:, None, None, :]
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x), mask

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return one vector per item (B, D): the class token, or the mean of the states that exist."""
        return states[:, 0] if self.cls_token is not None else masked_mean(states, mask)

    def n_states(self, n_samples: Tensor) -> Tensor:
        """Return the number of patches, and one more where there is a class token."""
        rows, columns = self.options.grid
        n_columns = torch.full_like(n_samples, columns)
        if self.options.resolution == "native":
            n_columns = divide_up(divide_down(n_samples, HOP_LENGTH).clamp(min=1), self.options.patch[1])
        return n_columns * rows + int(self.cls_token is not None)

    def _positions(self, n_patches: Tensor, n_positions: int) -> Tensor:
        """Position embeddings of each item, interpolated along time to its length: (B, T', F', D)."""
        n_base = torch.full_like(n_patches, self.options.grid[1])
        lower, upper, weight = sample_points(n_base, n_patches, n_positions)
        low, high = self.positions[lower], self.positions[upper]
        return low + (high - low) * weight[:, :, None, None]

    @torch.no_grad()
    def load_imagenet(self, name: str) -> None:
        """Load a ViT checkpoint, a folder or hub name such as google/vit-base-patch16-224, into this transformer.

        Patch kernels are resampled bilinearly and the position grid is interpolated where the sizes differ.
        The kernel is scaled by the ratio of areas, so that a flat patch gives the same embedding.

        Raises:
            ArtefactError: no checkpoint there (`model_missing`), or one of another shape (`model_mismatch`).
            UsageError: `unknown_encoder` if it is a model of another type.
        """
        source = load_vit(name)
        options, config = self.options, source.config
        wanted = (options.dim, options.depth, options.heads, int(options.dim * options.mlp_ratio))
        given = (
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
        )
        if given != wanted or not isinstance(self.stem, PatchStem):
            raise ArtefactError(
                "model_mismatch",
                f"{name} holds (dim, depth, heads, mlp) {given} with a patch stem; "
                f"the options ask for {wanted} with a {options.stem} stem",
            )
        state = source.state_dict()
        kernel = state["embeddings.patch_embeddings.projection.weight"]  # (D, 3, 16, 16)
        if options.n_channels == 1:
            kernel = kernel.sum(1, keepdim=True)
        if tuple(kernel.shape[2:]) != options.patch:
            area = kernel.shape[2] * kernel.shape[3] / (options.patch[0] * options.patch[1])
            kernel = F.interpolate(kernel, size=options.patch, mode="bilinear", align_corners=False) * area
        self.stem.conv.weight.copy_(kernel)
        assert self.stem.conv.bias is not None
        self.stem.conv.bias.copy_(state["embeddings.patch_embeddings.projection.bias"])
        table = state["embeddings.position_embeddings"][0]  # (1 + rows * columns, D)
        rows = config.image_size // config.patch_size
        grid = table[1:].reshape(rows, -1, options.dim).permute(2, 0, 1).unsqueeze(0)
        if tuple(grid.shape[2:]) != options.grid:
            grid = F.interpolate(grid, size=options.grid, mode="bilinear", align_corners=False)
        self.positions.copy_(grid[0].permute(2, 1, 0))
        if self.cls_token is not None:
            self.cls_token.copy_(state["embeddings.cls_token"] + table[0])
        for block, layer in zip(self.blocks, source.layers, strict=True):
            assert isinstance(block, Block)
            block.copy_from(layer)
        self.norm.load_state_dict(source.layernorm.state_dict())


class PatchStem(nn.Module):
    """One linear embedding per patch: (B, C, H, W) to (B, T', F', D)."""

    def __init__(self, options: VitOptions) -> None:
        super().__init__()
        self.padding = _time_padding(options)
        self.conv = nn.Conv2d(options.n_channels, options.dim, options.patch, stride=options.patch)

    def forward(self, image: Tensor, n_columns: Tensor) -> Tensor:
        """Embed the patches; columns beyond the existing ones are zero already."""
        x: Tensor = self.conv(F.pad(image, (0, self.padding)))
        return x.permute(0, 3, 2, 1)


class ConvStem(nn.Module):
    """Three strided convolutions whose strides multiply to the patch: (B, C, H, W) to (B, T', F', D).

    Every kernel is its stride plus two, with a padding of one, so that a length L becomes floor(L / stride)
    and all three together floor(L / patch), like the plain patch embedding.
    """

    def __init__(self, options: VitOptions) -> None:
        super().__init__()
        self.padding = _time_padding(options)
        first = (options.patch[0] // 4, options.patch[1] // 4)
        self.strides = (first, (2, 2), (2, 2))
        widths = (options.n_channels, options.dim // 4, options.dim // 2, options.dim)
        self.convs = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], (stride[0] + 2, stride[1] + 2), stride=stride, padding=1)
            for i, stride in enumerate(self.strides)
        )
        self.norm = nn.LayerNorm(options.dim)

    def forward(self, image: Tensor, n_columns: Tensor) -> Tensor:
        """Embed; what lies beyond each item's columns is cleared after every stage."""
        x, n = F.pad(image, (0, self.padding)), n_columns
        for i, conv in enumerate(self.convs):
            x, n = conv(x), divide_up(n, self.strides[i][1])
            if i + 1 < len(self.convs):
                x = F.gelu(x).masked_fill(~exists(n, x.shape[3])[:, None, None, :], 0.0)
        states: Tensor = self.norm(x.permute(0, 3, 2, 1))
        return states


class Block(nn.Module):
    """Pre-norm transformer block with masked self-attention over states (B, P, D)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, dropout: float, norm_eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=norm_eps), nn.LayerNorm(dim, eps=norm_eps)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp1 = nn.Linear(dim, int(dim * mlp_ratio))
        self.mlp2 = nn.Linear(int(dim * mlp_ratio), dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`bias` (B, 1, 1, P) is added to the attention scores, hugely negative where no state exists."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(self.norm1(x)).chunk(3, dim=2))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        hidden = self.mlp2(self.dropout(F.gelu(self.mlp1(self.norm2(x)))))
        out: Tensor = x + self.dropout(hidden)
        return out

    def copy_from(self, layer: Any) -> None:
        """Take the weights of a transformers ViTLayer."""
        parts = (layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj)
        self.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        biases = [torch.zeros(len(part.weight)) if part.bias is None else part.bias for part in parts]
        self.qkv.bias.copy_(torch.cat(biases))
        self.out.load_state_dict(layer.attention.o_proj.state_dict())
        self.norm1.load_state_dict(layer.layernorm_before.state_dict())
        self.norm2.load_state_dict(layer.layernorm_after.state_dict())
        self.mlp1.load_state_dict(layer.mlp.fc1.state_dict())
        self.mlp2.load_state_dict(layer.mlp.fc2.state_dict())


def _time_padding(options: VitOptions) -> int:
    """Columns to add so that the last, partly filled patch counts: T frames give ceil((T - 1) / patch)
    patches.

    T - 1, because the centred spectrogram has one frame more than whole hops (see `masking`), which must
    not cost a column of patches. A resized image needs none.
    """
    return 0 if options.resolution == "224" else options.patch[1] - 2
