"""The Mix Transformer; its parts have the names of the authors' release, so that weights are loaded by key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HEADS, _REDUCTIONS = (1, 2, 5, 8), (8, 4, 2, 1)


class Variant(NamedTuple):
    """Sizes of a Mix Transformer (Xie et al. 2021, table 6)."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    decoder_width: int


_SMALL, _WIDE = (32, 64, 160, 256), (64, 128, 320, 512)
VARIANTS = {
    "b0": Variant(_SMALL, (2, 2, 2, 2), 256),
    "b1": Variant(_WIDE, (2, 2, 2, 2), 256),
    "b2": Variant(_WIDE, (3, 4, 6, 3), 768),
    "b3": Variant(_WIDE, (3, 4, 18, 3), 768),
    "b4": Variant(_WIDE, (3, 8, 27, 3), 768),
    "b5": Variant(_WIDE, (3, 6, 40, 3), 768),
}


class MixTransformer(nn.Module):
    """Hierarchical transformer encoder (Xie et al. 2021, section 3.1).

    Args:
        in_channels: input channels.
        widths: channels of the four levels.
        depths: blocks of the four levels.
        drop_path: probability of leaving out the last block's branches; rises linearly from 0.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], depths: Sequence[int], drop_path: float) -> None:
        super().__init__()
        rates = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        before = in_channels
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True), 1):
            kernel, stride = (7, 4) if level == 1 else (3, 2)
            heads, reduction = _HEADS[level - 1], _REDUCTIONS[level - 1]
            blocks = [Block(width, heads, reduction, rates.pop(0)) for _ in range(depth)]
            self.add_module(f"patch_embed{level}", PatchEmbedding(before, width, kernel, stride))
            self.add_module(f"block{level}", nn.ModuleList(blocks))
            self.add_module(f"norm{level}", nn.LayerNorm(width, eps=1e-6))
            before = width
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(B, in_channels, H, W)`` to four maps at strides 4, 8, 16 and 32."""
        features = []
        for level in range(1, 5):
            tokens, height, width = self.get_submodule(f"patch_embed{level}")(x)
            for block in self.get_submodule(f"block{level}").children():
                tokens = block(tokens, height, width)
            tokens = self.get_submodule(f"norm{level}")(tokens)
            x = tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous()
            features.append(x)
        return features


def _initialise(module: nn.Module) -> None:
    """Truncated normal for linear layers, normal by fan out for convolutions, as the release."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2.0 / fan_out))
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)


class PatchEmbedding(nn.Module):
    """Overlapping patches as tokens (section 3.1, overlapped patch merging).

    Args:
        in_channels: input channels.
        width: of the tokens.
        kernel: size of a patch.
        stride: distance between patches.
    """

    def __init__(self, in_channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Map ``(B, C, H, W)`` to tokens ``(B, h * w, width)``, h and w."""
        x = self.proj(x)
        return self.norm(x.flatten(2).transpose(1, 2)), x.shape[-2], x.shape[-1]


class Block(nn.Module):
    """Attention and Mix-FFN, each behind a layer norm and with a residual connection.

    Args:
        width: of the tokens.
        heads: of the attention.
        reduction: of the keys' and values' grid.
        drop_path: probability of leaving a branch out, for each sample.
    """

    def __init__(self, width: int, heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = ReducedAttention(width, heads, reduction)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MixFFN(width)
        self.drop_path = drop_path

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``(B, height * width, C)`` to the same shape."""
        x = x + self._dropped(self.attn(self.norm1(x), height, width))
        return x + self._dropped(self.mlp(self.norm2(x), height, width))

    def _dropped(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        keep = branch.new_empty(branch.shape[0], 1, 1).bernoulli_(1 - self.drop_path)
        return branch * keep / (1 - self.drop_path)


class ReducedAttention(nn.Module):
    """Self-attention whose keys and values come from a coarser grid (section 3.1, efficient self-attention).

    The grid has ``height // reduction`` rows, as in the release: what is left over at the border is no key.

    Args:
        width: of the tokens.
        heads: into which they are split.
        reduction: side of the squares of tokens that become one key and value.
    """

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.reduction = reduction
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``(B, height * width, C)`` to the same shape."""
        source = x
        if self.reduction > 1:
            grid = x.transpose(1, 2).unflatten(2, (height, width))
            source = self.norm(self.sr(grid).flatten(2).transpose(1, 2))
        query = self.q(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key, value = self.kv(source).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        out: Tensor = self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return out


class MixFFN(nn.Module):
    """Linear layer, depthwise 3x3 convolution, GELU, linear layer (section 3.1, Mix-FFN).

    Args:
        width: of the tokens; the hidden layer has four times as many channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.dwconv = nn.ModuleDict({"dwconv": nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width)})
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``(B, height * width, C)`` to the same shape."""
        grid = self.fc1(x).transpose(1, 2).unflatten(2, (height, width))
        out: Tensor = self.fc2(F.gelu(self.dwconv["dwconv"](grid).flatten(2).transpose(1, 2)))
        return out
