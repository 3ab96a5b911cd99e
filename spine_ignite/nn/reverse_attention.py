"""What PraNet, Inf-Net and CaraNet share: the partial decoder and reverse attention, for any number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.attention import at_least_float32
from spine_ignite.nn.blocks import ConvNormAct, Norm, resize
from spine_ignite.nn.encoder_options import BackboneArguments
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.spec import Aux, ModelOutput

Reverse = Literal["foreground", "classwise"]


def background_probability(logits: Tensor) -> Tensor:
    """Reverse attention's weights ``(B, 1, h, w)`` from logits ``(B, num_classes, h, w)``, class 0 the background.

    With two classes and logits ``(0, S)`` this is ``1 - sigmoid(S)``, the binary networks' weight.
    """
    return at_least_float32(logits).softmax(1)[:, :1]


class PartialDecoder(nn.Module):
    """Parallel partial decoder (Fan et al. 2020, PraNet, section 2.1, after Wu et al. 2019).

    The deeper features, upsampled, multiply the shallower ones; what results is concatenated step by step.

    Args:
        channels: of each of the three inputs.
        num_classes: channels of the output.
        norm: of the convolutions (CaraNet has none).
    """

    def __init__(self, channels: int, num_classes: int, norm: Norm = "batch") -> None:
        super().__init__()

        def conv(width: int) -> nn.Module:
            return ConvNormAct(width, width, norm=norm, activation="none", bias=False)

        self.multiply = nn.ModuleList(conv(channels) for _ in range(3))
        self.join = nn.ModuleList([conv(channels), conv(2 * channels)])
        self.middle = conv(2 * channels)
        self.last = nn.Sequential(conv(3 * channels), conv(3 * channels), nn.Conv2d(3 * channels, num_classes, 1))

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Map features at strides 8, 16 and 32 to logits ``(B, num_classes, h, w)`` at stride 8."""
        up_middle = _up(coarse, middle)
        gated_middle = self.multiply[0](up_middle) * middle
        gated_fine = self.multiply[1](_up(up_middle, fine)) * self.multiply[2](_up(middle, fine)) * fine
        joined = self.middle(torch.cat([gated_middle, self.join[0](up_middle)], 1))
        logits: Tensor = self.last(torch.cat([gated_fine, self.join[1](_up(joined, fine))], 1))
        return logits


def _up(x: Tensor, like: Tensor) -> Tensor:
    return resize(x, (like.shape[-2], like.shape[-1]), align_corners=True)


class ReverseAttention(nn.Module):
    """Look where the coarser map sees no structure, and correct the map (Fan et al. 2020, PraNet, section 2.2).

    ``foreground``: the features are weighted by the background probability of the map, one weight per pixel, and the
    convolutions give a correction for every class. ``classwise``: each class has its own weight ``1 - sigmoid(S_k)``
    and passes through the convolutions on its own: the exact generalisation, at ``num_classes`` times the cost.

    Args:
        prepare: applied to the features before they are weighted.
        reduce: first convolution after that.
        refine: the further convolutions; with an edge map, their input has its channels too.
        last: makes the correction: ``num_classes`` channels, or one if classwise.
        reverse: ``foreground`` or ``classwise``.
    """

    def __init__(
        self, prepare: nn.Module, reduce: nn.Module, refine: nn.Module, last: nn.Module, reverse: Reverse
    ) -> None:
        super().__init__()
        self.prepare = prepare
        self.reduce = reduce
        self.refine = refine
        self.last = last
        self.reverse = reverse

    def forward(self, x: Tensor, guidance: Tensor, edge: Tensor | None = None) -> Tensor:
        """Correct a map.

        Args:
            x: features ``(B, C, h, w)``.
            guidance: logits ``(B, num_classes, h', w')`` of the coarser map.
            edge: edge features ``(B, E, h', w')``, concatenated after the first convolution.

        Returns:
            Logits ``(B, num_classes, h, w)``.
        """
        size = (x.shape[-2], x.shape[-1])
        guidance = resize(guidance, size)
        x = self.prepare(x)
        if self.reverse == "foreground":
            weighted = x * background_probability(guidance).to(x.dtype)
        else:
            weights = 1 - at_least_float32(guidance).sigmoid()
            weighted = (x[:, None] * weights[:, :, None].to(x.dtype)).flatten(0, 1)
        hidden = self.reduce(weighted)
        if edge is not None:
            edge = resize(edge, size)
            if self.reverse == "classwise":
                edge = edge.repeat_interleave(guidance.shape[1], 0)
            hidden = torch.cat([hidden, edge], 1)
        correction = self.last(self.refine(hidden))
        if self.reverse == "classwise":
            correction = correction.reshape(guidance.shape)
        out: Tensor = correction + guidance
        return out


class ParallelReverseNetwork(nn.Module):
    """The body of PraNet and Inf-Net (Fan et al. 2020).

    A partial decoder on the encoder's three coarse levels gives a first map; three stages of reverse attention correct
    it, from coarse to fine.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        reverse: ``foreground`` or ``classwise``.
        channels: of the partial decoder's inputs; the papers have 32.
        edge: channels of the edge features that guide the stages; 0: there are none.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``res2net50d``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        reverse: Reverse = "foreground",
        channels: int = 32,
        edge: int = 0,
        **encoder_options: Unpack[BackboneArguments],
    ) -> None:
        super().__init__()
        options = BackboneArguments(backbone="res2net50d") | encoder_options
        self.encoder = build_encoder(in_channels=in_channels, **options)
        levels = self.encoder.channels[-3:]
        self.reduce = nn.ModuleList(ReceptiveFieldBlock(level, channels) for level in levels)
        self.decoder = PartialDecoder(channels, num_classes)
        self.stage4 = reverse_stage(levels[2], 256, 5, 3, 1, num_classes, reverse, edge)
        self.stage3 = reverse_stage(levels[1], 64, 3, 2, 3, num_classes, reverse, edge)
        self.stage2 = reverse_stage(levels[0], 64, 3, 2, 3, num_classes, reverse, edge)

    def maps(self, features: Sequence[Tensor], edge: Tensor | None = None) -> list[Tensor]:
        """Return the partial decoder's map and those of the stages, from the encoder's features."""
        fine, middle, coarse = features[-3:]
        reduced = [reduce(level) for reduce, level in zip(self.reduce, (fine, middle, coarse), strict=True)]
        found = [self.decoder(*reduced)]
        for stage, level in ((self.stage4, coarse), (self.stage3, middle), (self.stage2, fine)):
            found.append(stage(level, found[-1], edge))
        return found


def supervised(maps: Sequence[Tensor], size: tuple[int, int], training: bool) -> Tensor | ModelOutput:
    """Return the last map at the input's size as logits; in training, with all others as auxiliary logits of weight 1.

    Args:
        maps: logits, from the partial decoder's on, in the order in which they were made.
        size: of the input.
        training: whether the network is in training mode.
    """
    logits = resize(maps[-1], size)
    if not training:
        return logits
    return ModelOutput(logits, {f"map{number}": Aux(item, 1.0) for number, item in enumerate(maps[:-1], 1)})


class ReceptiveFieldBlock(nn.Module):
    """Four branches with growing thin kernels and dilations (PraNet's and Inf-Net's reduction, after Liu et al. 2018).

    Batch norm after each convolution, ReLU only at the end.

    Args:
        in_channels: input channels.
        channels: output channels.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()

        def conv(inputs: int, kernel: int | tuple[int, int], dilation: int = 1) -> nn.Module:
            return ConvNormAct(inputs, channels, kernel, dilation=dilation, activation="none")

        self.branches = nn.ModuleList([conv(in_channels, 1)])
        for size in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    conv(in_channels, 1),
                    conv(channels, (1, size)),
                    conv(channels, (size, 1)),
                    conv(channels, 3, dilation=size),
                )
            )
        self.join = conv(4 * channels, 3)
        self.shortcut = conv(in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, h, w)``."""
        joined: Tensor = self.join(torch.cat([branch(x) for branch in self.branches], 1))
        out: Tensor = (joined + self.shortcut(x)).relu()
        return out


def reverse_stage(
    in_channels: int, hidden: int, kernel: int, depth: int, last: int, num_classes: int, reverse: Reverse, edge: int = 0
) -> ReverseAttention:
    """Return a stage as PraNet and Inf-Net have it.

    1x1 convolution, ``depth`` convolutions with ReLU, one more to the classes; batch norm after each, also the last.

    Args:
        in_channels: of the encoder's features.
        hidden: channels in between.
        kernel: size of the convolutions in between.
        depth: their number.
        last: kernel of the last convolution.
        num_classes: classes.
        reverse: kind of reverse attention.
        edge: channels of the edge features that are concatenated after the first convolution.
    """
    outputs = num_classes if reverse == "foreground" else 1
    widths = [hidden + edge] + [hidden] * (depth - 1)
    return ReverseAttention(
        nn.Identity(),
        ConvNormAct(in_channels, hidden, 1, activation="none"),
        nn.Sequential(*(ConvNormAct(width, hidden, kernel) for width in widths)),
        ConvNormAct(hidden, outputs, last, activation="none"),
        reverse,
    )
