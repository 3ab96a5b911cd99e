"""The hybrid of ResNet and vision transformer, from timm's parts."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.encoders import create_timm_model

_NAME, _LAYERS, _WIDTH, _HEADS = "vit_base_r50_s16_224", 12, 768, 12


class HybridEncoder(nn.Module):
    """ResNet (weight-standardised convolutions, group norm) and transformer (Chen et al. 2021, section 3.1).

    The position embedding, learnt on a grid of 14 x 14, is resampled (bicubic) to the grid of the input. The class
    token of timm's model is left out, as in the authors' code.

    Args:
        in_channels: input channels.
        pretrained: start from timm's weights.
        weights: or from this file.
        layers: of the transformer.
        width: of the tokens.
        heads: of the attention.
        dropout: of the embedded tokens and, twice, in the MLP of each layer; attention has none, as in the release.
    """

    def __init__(
        self,
        in_channels: int,
        pretrained: bool,
        weights: str | None,
        layers: int,
        width: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"num_classes": 0, "proj_drop_rate": dropout}
        if (layers, width, heads) != (_LAYERS, _WIDTH, _HEADS):
            options |= {"depth": layers, "embed_dim": width, "num_heads": heads}
        model = create_timm_model(_NAME, in_channels, pretrained, weights, **options)
        backbone = model.patch_embed.backbone
        self.stem, self.stages = nn.Sequential(backbone.stem.conv, backbone.stem.norm), backbone.stages
        for part in (self.stem, self.stages):
            _pad_even_sizes(part)
        self.pool = nn.Sequential(nn.ConstantPad2d((0, 1, 0, 1), -torch.inf), nn.MaxPool2d(3, 2))
        self.embed = model.patch_embed.proj
        self.position = nn.Parameter(model.pos_embed.detach()[:, 1:].clone())
        self.dropout = nn.Dropout(dropout)
        self.blocks = model.blocks
        for block in self.blocks:
            block.attn.proj_drop.p = 0.0  # timm has one rate for attention and MLP
        self.norm = model.norm

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map ``(B, in_channels, H, W)`` to ``(B, width, H / 16, W / 16)`` and the features at strides 8, 4 and 2."""
        half = self.stem(x)
        features = [half]
        x = self.pool(half)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        grid = self.embed(features.pop())
        tokens = self.dropout(grid.flatten(2).transpose(1, 2) + self._position(grid.shape[-2], grid.shape[-1]))
        tokens = self.norm(self.blocks(tokens))
        return tokens.transpose(1, 2).unflatten(2, grid.shape[-2:]), features[::-1]

    def _position(self, height: int, width: int) -> Tensor:
        side = int(self.position.shape[1] ** 0.5)
        if (height, width) == (side, side):
            return self.position
        learnt = self.position.transpose(1, 2).unflatten(2, (side, side))
        resampled = F.interpolate(learnt, (height, width), mode="bicubic", align_corners=False)
        return resampled.flatten(2).transpose(1, 2)


def _pad_even_sizes(part: nn.Module) -> None:
    """Pad before each convolution what "same" means for sizes that are multiples of its stride, as all are here.

    timm computes it from the size each time, and an exporter that leaves sizes open does not come to an end with that.
    """
    for module in part.modules():
        if getattr(module, "same_pad", False):
            assert isinstance(module, nn.Conv2d)
            module.same_pad = False  # type: ignore[assignment]
            pads = []
            for kernel, stride in zip(reversed(module.kernel_size), reversed(module.stride), strict=True):
                both = max(kernel - stride, 0)
                pads += [both // 2, both - both // 2]
            if any(pads):
                module.register_forward_pre_hook(partial(_padded, pads=pads))


def _padded(_module: nn.Module, inputs: tuple[Tensor], *, pads: list[int]) -> Tensor:
    return F.pad(inputs[0], pads)
