"""Residual units with the activation in front, as ResUNet and ResUNet++ have them."""

from __future__ import annotations

from torch import Tensor, nn

from spine_ignite.nn.blocks import BatchNorm2d


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate from the means of all (Hu et al. 2018, section 3), without biases.

    Args:
        channels: of input and output.
        ratio: the hidden layer has ``channels // ratio`` values, at least one.
    """

    def __init__(self, channels: int, ratio: int = 8) -> None:
        super().__init__()
        hidden = max(channels // ratio, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = x * self.gate(x)
        return out


class PreActivationUnit(nn.Module):
    """Batch norm, ReLU, 3x3 convolution, twice, and a shortcut (Zhang et al. 2018, figure 1b).

    The shortcut is the identity, or a 1x1 convolution with batch norm where the shape changes.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        stride: of the first convolution and the shortcut.
        activate_first: leave out the first batch norm and ReLU if false, as in a network's first unit.
        project: force (or forbid) the convolution in the shortcut; by default where the shape changes.
        squeeze: put a squeeze-and-excitation with this ratio after the sum (ResUNet++).
        bias: whether the convolutions have biases.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        activate_first: bool = True,
        project: bool | None = None,
        squeeze: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        first: list[nn.Module] = [BatchNorm2d(in_channels), nn.ReLU()] if activate_first else []
        self.residual = nn.Sequential(
            *first,
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=bias),
            BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias),
        )
        if project is None:
            project = stride > 1 or in_channels != out_channels
        self.shortcut: nn.Module = nn.Identity()
        if project:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)
            self.shortcut = nn.Sequential(conv, BatchNorm2d(out_channels))
        self.squeeze = SqueezeExcitation(out_channels, squeeze) if squeeze else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, out_channels, ceil(h / stride), ceil(w / stride))``."""
        out: Tensor = self.squeeze(self.residual(x) + self.shortcut(x))
        return out
