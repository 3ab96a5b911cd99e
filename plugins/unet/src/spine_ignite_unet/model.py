"""The network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.blocks import ConvNormAct, Norm, initialise_he
from spine_ignite.nn.padding import pad_to_multiple
from spine_ignite.spec import Aux, ModelOutput


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, section 2 and figure 1), padded and with normalisation as an option.

    Each level of the contracting path has two 3x3 convolutions with ReLU; a 2x2 max pooling leads to the next. The
    expanding path mirrors it: a 2x2 up-convolution, the concatenation with the skip connection, two 3x3 convolutions. A
    1x1 convolution gives the logits. Weights are drawn as in the paper (section 3): normal, standard deviation
    ``sqrt(2 / fan_in)``.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        width: channels of the first level.
        depth: number of levels.
        max_width: the channels double at each level up to this.
        norm: ``batch``, ``instance``, ``group`` or ``none``.
        dropout: probability at the end of the contracting path.
        upsampling: ``transposed`` or ``bilinear``.
        deep_supervision: return auxiliary logits of the coarser decoder levels in training.
        stem_stride: the first level works at this stride. Blocks of pixels are folded into channels on the way in and
            unfolded on the way out (Shi et al., CVPR 2016, section 3), so that fine pixels cost what coarse ones do.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 32,
        depth: int = 6,
        max_width: int = 512,
        norm: Norm = "batch",
        dropout: float = 0.0,
        upsampling: str = "transposed",
        deep_supervision: bool = False,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        self.stem_stride = stem_stride
        widths = [min(width * 2**level, max_width) for level in range(depth)]
        inputs = [in_channels * stem_stride**2, *widths[:-1]]
        self.encoder = nn.ModuleList(_double(i, o, norm) for i, o in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dropout = nn.Dropout2d(dropout)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_up(deep, shallow, upsampling) for deep, shallow in pairs)
        self.decoder = nn.ModuleList(_double(2 * shallow, shallow, norm) for _, shallow in pairs)
        self.head = nn.Conv2d(widths[0], num_classes * stem_stride**2, 1)
        coarse = [shallow for _, shallow in pairs[:-1]] if deep_supervision else []
        self.aux_heads = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for channels in coarse)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        size = x.shape[-2:]
        if self.stem_stride > 1:
            x = F.pixel_unshuffle(pad_to_multiple(x, self.stem_stride), self.stem_stride)
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        x = self.dropout(skips.pop())
        features = []
        for up, block in zip(self.up, self.decoder, strict=True):
            skip = skips.pop()
            # Pooling rounds odd sizes up, so that what comes back covers the skip and is cropped to it.
            x = block(torch.cat([skip, up(x)[..., : skip.shape[-2], : skip.shape[-1]]], 1))
            features.append(x)
        logits: Tensor = self.head(x)
        if self.stem_stride > 1:
            logits = F.pixel_shuffle(logits, self.stem_stride)[..., : size[0], : size[1]]
        if not (self.training and len(self.aux_heads)):
            return logits
        # features run from coarse to fine; the finest has the main head, each coarser one half the weight of the next.
        levels = len(self.aux_heads)
        aux = {
            f"level{levels - i}": Aux(head(feature), 0.5 ** (levels - i))
            for i, (head, feature) in enumerate(zip(self.aux_heads, features[:-1], strict=True))
        }
        return ModelOutput(logits, aux)


def _double(in_channels: int, out_channels: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels, norm=norm), ConvNormAct(out_channels, out_channels, norm=norm)
    )


def _up(in_channels: int, out_channels: int, upsampling: str) -> nn.Module:
    if upsampling == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, 2)
    return nn.Sequential(_Double(), nn.Conv2d(in_channels, out_channels, 1))


class _Double(nn.Module):
    """Bilinear upsampling by two."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
