"""The network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import ConvNormAct, initialise_he
from spine_ignite.nn.encoder_options import BackboneArguments
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.unpooling import pool_with_indices, unpool


class SegNet(nn.Module):
    """SegNet (Badrinarayanan et al. 2017, section 3; compared with the authors' Pascal prototxt).

    The convolutions of VGG; a decoder that mirrors them and puts values back where the encoder's max pooling found
    them.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        encoder_options: for ``build_encoder``, ``backbone`` (a VGG of timm with batch norm) and so on; by default
            ``vgg16_bn``.
    """

    def __init__(self, in_channels: int, num_classes: int, **encoder_options: Unpack[BackboneArguments]) -> None:
        super().__init__()
        options = BackboneArguments(backbone="vgg16_bn") | encoder_options
        stages = _stages(list(build_encoder(in_channels=in_channels, **options).net.children()))
        self.encoder = nn.ModuleList(stages)
        convolutions = [[part for part in stage if isinstance(part, nn.Conv2d)] for stage in stages]
        outputs = [num_classes, *(stage[-1].out_channels for stage in convolutions[:-1])]
        self.decoder = nn.ModuleList(
            _mirrored(stage, output, last=number == 0)
            for number, (stage, output) in enumerate(zip(convolutions, outputs, strict=True))
        )
        initialise_he(self.decoder)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        places = []
        for stage in self.encoder:
            x = stage(x)
            size = (x.shape[-2], x.shape[-1])
            x, indices = pool_with_indices(x)
            places.append((indices, size))
        for number in reversed(range(len(places))):
            indices, size = places[number]
            x = self.decoder[number](unpool(x, indices, size))
        return x


def _stages(layers: Sequence[nn.Module]) -> list[nn.Sequential]:
    """Cut VGG's layers at its poolings, which are left out."""
    stages: list[list[nn.Module]] = [[]]
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            stages.append([])
        else:
            stages[-1].append(layer)
    return [nn.Sequential(*stage) for stage in stages if stage]


def _mirrored(stage: Sequence[nn.Conv2d], output: int, last: bool) -> nn.Sequential:
    """As many 3x3 convolutions as the stage has; the last one narrows, and the network's last is a classifier."""
    width = stage[-1].out_channels
    parts: list[nn.Module] = [ConvNormAct(width, width, bias=True) for _ in stage[1:]]
    parts.append(nn.Conv2d(width, output, 3, padding=1) if last else ConvNormAct(width, output, bias=True))
    return nn.Sequential(*parts)
