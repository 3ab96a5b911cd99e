"""Convolution blocks that several architectures share."""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "instance", "group", "none"]


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel (batch of 1 on a 1x1 map).

    There the batch has no variance to speak of, and torch refuses; the running statistics are used instead.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.BatchNorm2d gives it
        """Normalise ``(B, C, H, W)``."""
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation layer for ``channels`` channels; ``none`` gives the identity."""
    if norm == "batch":
        return BatchNorm2d(channels)
    if norm == "instance":
        return nn.GroupNorm(channels, channels)  # as InstanceNorm with affine, but it takes 1x1 maps
    if norm == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    return nn.Identity()


class ConvNormAct(nn.Sequential):
    """Convolution that keeps the size, normalisation, ReLU; the convolution has a bias only without normalisation.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel: odd kernel size.
        stride: stride; the output is ``ceil(size / stride)``.
        norm: which normalisation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, norm: Norm = "batch"
    ) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=norm == "none")
        super().__init__(conv, make_norm(norm, out_channels), nn.ReLU(inplace=True))


def initialise_he(module: nn.Module) -> None:
    """Draw convolution weights as in He et al. 2015 (normal, fan in, ReLU) and set biases to 0, in place."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
