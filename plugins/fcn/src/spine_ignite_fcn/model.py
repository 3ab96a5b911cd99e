"""The network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spine_ignite.nn.blocks import initialise_he
from spine_ignite.nn.encoders import create_timm_model

# Channels of the fully connected layers in timm's VGGs.
_VGG_FC = 4096

# How far the first convolution's padding of 100 moves things, as the release's crops undo it: the logits' offset by
# stride of the last deconvolution, and the offsets of the scores of pool 4 and pool 3 against those above them.
_CROPS = {32: 19, 16: 27, 8: 31}
_SKIP_CROPS = (5, 9)


class FCN(nn.Module):
    """Fully convolutional network on VGG (Long et al. 2015, section 4; compared with the authors' prototxt files).

    VGG's classifier as convolutions, scores at stride 32, and for the finer variants scores of pool 4 and pool 3 added
    on the way up. The deconvolutions interpolate bilinearly and do not learn, as in the release.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        backbone: ``vgg11``, ``vgg13``, ``vgg16`` or ``vgg19``, or one of them with ``_bn``.
        pretrained: start from timm's weights: the convolutions, and the fully connected layers where they have 4096
            channels.
        weights: or from this file.
        variant: ``8s``, ``16s`` or ``32s``: the stride of the last deconvolution.
        padding: ``release``: 100 pixels around the image, and crops at fixed offsets; ``same``: every convolution keeps
            the size, which costs less and aligns exactly.
        fc_channels: of the two fully connected layers; the paper has 4096.
        learn_upsampling: let the deconvolutions learn, as the paper says.
        dropout: after both fully connected layers.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        backbone: str = "vgg16",
        pretrained: bool = False,
        weights: str | None = None,
        variant: str = "8s",
        padding: str = "release",
        fc_channels: int = 4096,
        learn_upsampling: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stride = int(variant.removesuffix("s"))
        self.release = padding == "release"
        vgg = create_timm_model(backbone, in_channels, pretrained, weights)
        stages = _stages(list(vgg.features), self.release)
        self.stages = nn.ModuleList(stages)
        fc6, fc7 = vgg.pre_logits.fc1, vgg.pre_logits.fc2
        if fc_channels != _VGG_FC:
            fc6, fc7 = nn.Conv2d(fc6.in_channels, fc_channels, 7), nn.Conv2d(fc_channels, fc_channels, 1)
        fc6.padding = (0, 0) if self.release else (3, 3)
        self.classifier = nn.Sequential(
            fc6, nn.ReLU(inplace=True), nn.Dropout(dropout), fc7, nn.ReLU(inplace=True), nn.Dropout(dropout)
        )
        if fc_channels != _VGG_FC or not (pretrained or weights):
            initialise_he(self.classifier)
        steps = {32: 0, 16: 1, 8: 2}[self.stride]
        pooled = [_channels(stage) for stage in (stages[-2], stages[-3])]  # pool 4, pool 3
        self.score = nn.ModuleList(_zero_score(inputs, num_classes) for inputs in [fc_channels, *pooled[:steps]])
        factors = [2] * steps + [self.stride]
        self.up = nn.ModuleList(self._deconvolution(num_classes, factor, learn_upsampling) for factor in factors)

    def _deconvolution(self, channels: int, factor: int, learn: bool) -> nn.ConvTranspose2d:
        margin = 0 if self.release else factor // 2
        conv = nn.ConvTranspose2d(channels, channels, 2 * factor, factor, margin, bias=False)
        with torch.no_grad():
            conv.weight.zero_()
            line = 1 - (torch.arange(2 * factor) - factor + 0.5).abs() / factor
            for channel in range(channels):
                conv.weight[channel, channel] = line[:, None] * line[None]
        conv.weight.requires_grad_(learn)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        height, width = x.shape[-2:]
        pools = []
        for stage in self.stages:
            x = stage(x)
            pools.append(x)
        logits: Tensor = self.score[0](self.classifier(pools[-1]))
        skips = zip(self.score[1:], (pools[-2], pools[-3]), _SKIP_CROPS, self.up[:-1], strict=False)
        for score, pool, offset, up in skips:
            logits, skip = up(logits), score(pool)
            if self.release:
                skip = _crop(skip, offset, logits.shape[-2], logits.shape[-1])
            logits = logits[..., : skip.shape[-2], : skip.shape[-1]] + skip
        return _crop(self.up[-1](logits), _CROPS[self.stride] if self.release else 0, height, width)


def _crop(x: Tensor, offset: int, height: int, width: int) -> Tensor:
    return x[..., offset : offset + height, offset : offset + width]


def _channels(stage: nn.Module) -> int:
    return [part.out_channels for part in stage.modules() if isinstance(part, nn.Conv2d)][-1]


def _zero_score(in_channels: int, num_classes: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, num_classes, 1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _stages(layers: Sequence[nn.Module], release: bool) -> list[nn.Sequential]:
    """Cut VGG's layers behind its poolings, which round up; pad the image by 100 pixels as the release does."""
    stages: list[list[nn.Module]] = [[]]
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            stages[-1].append(nn.MaxPool2d(2, ceil_mode=True))
            stages.append([])
        else:
            stages[-1].append(layer)
    first = stages[0][0]
    if release and isinstance(first, nn.Conv2d):
        first.padding = (100, 100)
    return [nn.Sequential(*stage) for stage in stages if stage]
