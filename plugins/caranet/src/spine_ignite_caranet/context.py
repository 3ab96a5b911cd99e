"""Channel-wise feature pyramid and axial attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spine_ignite.nn.attention import ResidualAttention, exact_matmul
from spine_ignite.nn.blocks import BatchNorm2d, ConvNormAct

EPS = 1e-3  # of every batch norm


class FeaturePyramid(nn.Module):
    """Channel-wise feature pyramid (Lou et al. 2022, section 2.2).

    Four chains of three grouped 3x3 convolutions with growing rates; the outputs of a chain are concatenated, the
    chains summed up one after the other, and all sums concatenated.

    Args:
        channels: of input and output, a multiple of 16.
        dilation: d; the chains have rates 1, d/4 + 1, d/2 + 1 and d + 1.
    """

    def __init__(self, channels: int, dilation: int = 8) -> None:
        super().__init__()
        thin = channels // 16

        def link(inputs: int, outputs: int, rate: int) -> nn.Module:
            return ConvNormAct(inputs, outputs, dilation=rate, groups=thin, activation="prelu", eps=EPS)

        self.before = _norm_act(channels)
        self.reduce = ConvNormAct(channels, 4 * thin, activation="prelu", eps=EPS)
        rates = (1, dilation // 4 + 1, dilation // 2 + 1, dilation + 1)
        self.chains = nn.ModuleList(
            nn.ModuleList([link(4 * thin, thin, rate), link(thin, thin, rate), link(thin, 2 * thin, rate)])
            for rate in rates
        )
        self.after = nn.Sequential(_norm_act(channels), nn.Conv2d(channels, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        reduced = self.reduce(self.before(x))
        sums: list[Tensor] = []
        for chain in self.chains:
            links = [reduced]
            for link in chain.children():
                links.append(link(links[-1]))
            joined = torch.cat(links[1:], 1)
            sums.append(sums[-1] + joined if sums else joined)
        out: Tensor = self.after(torch.cat(sums, 1)) + x
        return out


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(BatchNorm2d(channels, eps=EPS), nn.PReLU(channels))


class AxialAttention(nn.Module):
    """Two linear convolutions, attention along columns, attention along rows (Lou et al. 2022, section 2.3).

    Args:
        channels: of input and output.
        height_axis: ``paper`` or ``release``, see :class:`SingleAxisAttention`.
    """

    def __init__(self, channels: int, height_axis: str = "paper") -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        )
        self.height = SingleAxisAttention(channels, "height" if height_axis == "paper" else "release")
        self.width = SingleAxisAttention(channels, "width")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = self.width(self.height(self.mix(x)))
        return out


class SingleAxisAttention(ResidualAttention):
    """Attention between the columns, or between the rows, of a map.

    Along the width: ``A[i, j] = sigmoid(sum over channels and rows of q(c, h, i) k(c, h, j))``, and column i becomes
    ``gamma sum_j A[i, j] v(:, :, j) + x``; along the height the same with rows. The products are neither scaled nor
    normalised, as in the release.

    ``release``: the authors' height axis reads the memory of ``(C, H, W)`` as ``(C W, H)`` without transposing: on
    square maps that is attention along the width once more, on others it mixes pixels that have nothing to do with each
    other.

    Args:
        channels: of input and output.
        axis: ``width``, ``height`` or ``release``.
    """

    def __init__(self, channels: int, axis: str) -> None:
        super().__init__(channels, bias=False)
        self.axis = axis

    def gather(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map queries and keys ``(B, C / 8, h, w)`` and values ``(B, C, h, w)`` to the values' shape."""
        weights = exact_matmul(self._lines(query).transpose(1, 2), self._lines(key)).sigmoid()  # (B, lines, lines)
        found = exact_matmul(self._lines(value), weights.transpose(1, 2))
        if self.axis == "height":
            found = found.unflatten(1, (value.shape[1], value.shape[3])).transpose(2, 3)
        return found.reshape(value.shape)

    def _lines(self, x: Tensor) -> Tensor:
        """Bring ``(B, C, h, w)`` to ``(B, features, lines)``."""
        if self.axis == "release":
            return x.contiguous().reshape(x.shape[0], -1, x.shape[2])
        return (x if self.axis == "width" else x.transpose(2, 3)).flatten(1, 2)
