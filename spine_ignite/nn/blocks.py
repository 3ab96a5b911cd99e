"""Convolution blocks that several architectures share."""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.instance_norm import InstanceNorm2d

Norm = Literal["batch", "instance", "group", "none"]
Activation = Literal["relu", "leaky_relu", "prelu", "none"]


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


def make_norm(norm: Norm, channels: int, eps: float = 1e-5) -> nn.Module:
    """Return a normalisation layer for ``channels`` channels; ``none`` gives the identity."""
    if norm == "batch":
        return BatchNorm2d(channels, eps=eps)
    if norm == "instance":
        return InstanceNorm2d(channels, eps=eps, affine=True)
    if norm == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels, eps=eps)
    return nn.Identity()


def make_activation(activation: Activation, channels: int) -> nn.Module:
    """Return an activation; ``leaky_relu`` has the slope 0.01 of InPlaceABN, ``prelu`` a slope for each channel."""
    if activation == "relu":
        return nn.ReLU(inplace=True)
    if activation == "leaky_relu":
        return nn.LeakyReLU(0.01, inplace=True)
    if activation == "prelu":
        return nn.PReLU(channels)
    return nn.Identity()


class ConvNormAct(nn.Sequential):
    """Convolution, normalisation, activation; with stride 1 the size is kept.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel: odd kernel size, one number or rows and columns.
        stride: stride; the output is ``ceil(size / stride)``.
        norm: which normalisation.
        activation: which activation.
        dilation: of the kernel.
        groups: of the convolution.
        bias: of the convolution; by default only where there is no normalisation.
        eps: of the normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        eps: float = 1e-5,
    ) -> None:
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            (rows, columns),
            stride,
            padding=(dilation * (rows // 2), dilation * (columns // 2)),
            dilation=dilation,
            groups=groups,
            bias=norm == "none" if bias is None else bias,
        )
        super().__init__(conv, make_norm(norm, out_channels, eps), make_activation(activation, out_channels))


def initialise_he(module: nn.Module) -> None:
    """Draw convolution weights as in He et al. 2015 (normal, fan in, ReLU) and set biases to 0, in place."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def resize(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Resample ``(B, C, h, w)`` to ``(B, C, *size)``, bilinear; returned as it is where the size is right already."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


def divide_up(size: int, stride: int) -> int:
    """Return ``size / stride`` rounded up; of positive numbers, since ONNX rounds negative ones otherwise."""
    return (size + stride - 1) // stride


def crop_or_resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring ``(B, C, h, w)`` that was upsampled by a whole factor to ``(B, C, *size)``, that of a finer map.

    An encoder that rounds odd sizes up gives rows or columns too many at the bottom and right, which are cropped, so
    that pixels stay in place; one that rounds down (VGG, DenseNet) gives too few, which are resampled.
    """
    return resize(x[..., : size[0], : size[1]], size)
