"""ENet's bottlenecks (Paszke et al. 2016, figure 2b)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.blocks import Activation, BatchNorm2d, make_activation
from spine_ignite.nn.unpooling import pool_with_indices, unpool

EPS = 1e-3  # of every batch norm, as in Torch7


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, a convolution of some kind, 1x1 back, dropout, sum with the input.

    Args:
        channels: of input and output.
        dropout: channel dropout of the branch.
        kind: ``plain``, ``dilated`` or ``asymmetric`` (two thin convolutions in place of a square one: along the
            rows, then, in the Torch7 release's order, along the columns).
        size: rate of a dilated kernel, length of a thin one.
        activation: after each convolution and after the sum.
    """

    def __init__(
        self, channels: int, dropout: float, kind: str = "plain", size: int = 1, activation: Activation = "prelu"
    ) -> None:
        super().__init__()
        inner = channels // 4
        if kind == "asymmetric":
            convolution: list[nn.Module] = [
                nn.Conv2d(inner, inner, (1, size), padding=(0, size // 2), bias=False),
                nn.Conv2d(inner, inner, (size, 1), padding=(size // 2, 0)),
            ]
        else:
            convolution = [nn.Conv2d(inner, inner, 3, padding=size, dilation=size)]
        reduce = nn.Conv2d(channels, inner, 1, bias=False)
        self.branch = _branch(reduce, convolution, inner, channels, dropout, activation)
        self.activate = make_activation(activation, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = self.activate(self.branch(x) + x)
        return out


class DownsamplingBottleneck(nn.Module):
    """A bottleneck that halves the size; the shortcut is max pooling, filled up with zero channels.

    Args:
        in_channels: input channels.
        channels: output channels, at least as many.
        dropout: channel dropout of the branch.
    """

    def __init__(self, in_channels: int, channels: int, dropout: float) -> None:
        super().__init__()
        inner = channels // 4
        reduce = nn.Conv2d(in_channels, inner, 2, 2, bias=False)
        self.branch = _branch(reduce, [nn.Conv2d(inner, inner, 3, padding=1)], inner, channels, dropout, "prelu")
        self.extra = channels - in_channels
        self.activate = nn.PReLU(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, ceil(h / 2), ceil(w / 2))``, and the maxima's places."""
        even = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
        pooled, places = pool_with_indices(x)
        out: Tensor = self.activate(self.branch(even) + F.pad(pooled, (0, 0, 0, 0, 0, self.extra)))
        return out, places


class UpsamplingBottleneck(nn.Module):
    """A bottleneck that doubles the size; the shortcut puts values back where a max pooling found them.

    Args:
        in_channels: input channels.
        channels: output channels.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        inner = channels // 4
        reduce = nn.Conv2d(in_channels, inner, 1, bias=False)
        up = nn.ConvTranspose2d(inner, inner, 3, 2, 1, output_padding=1)
        self.branch = _branch(reduce, [up], inner, channels, 0.0, "relu")
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), BatchNorm2d(channels, eps=EPS))

    def forward(self, x: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, *size)``.

        Args:
            x: the features.
            places: of the maxima in the pooling of ``(B, channels, *size)`` that is undone.
            size: rows and columns of what was pooled.
        """
        branch = self.branch(x)[..., : size[0], : size[1]]
        return F.relu(branch + unpool(self.shortcut(x), places, size))


def _branch(
    reduce: nn.Module,
    convolution: list[nn.Module],
    inner: int,
    channels: int,
    dropout: float,
    activation: Activation,
) -> nn.Sequential:
    return nn.Sequential(
        reduce,
        BatchNorm2d(inner, eps=EPS),
        make_activation(activation, inner),
        *convolution,
        BatchNorm2d(inner, eps=EPS),
        make_activation(activation, inner),
        nn.Conv2d(inner, channels, 1, bias=False),
        BatchNorm2d(channels, eps=EPS),
        nn.Dropout2d(dropout),
    )
