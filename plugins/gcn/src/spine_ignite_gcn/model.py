"""The network."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import Unpack

from spine_ignite.nn.blocks import crop_or_resize, divide_up, resize
from spine_ignite.nn.encoder_options import BackboneArguments
from spine_ignite.nn.encoders import build_encoder


class GCN(nn.Module):
    """Global convolutional network (Peng et al. 2017, section 3 and figure 2).

    Four stages of a residual network, each with a large separable kernel to the classes and a boundary refinement; from
    coarse to fine they are upsampled and added.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        kernel: odd length of the large kernels.
        upsampling: ``transposed`` (the paper's deconvolutions, which start as bilinear ones) or ``bilinear``.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet152``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        kernel: int = 15,
        upsampling: str = "transposed",
        **encoder_options: Unpack[BackboneArguments],
    ) -> None:
        super().__init__()
        options = BackboneArguments(backbone="resnet152") | encoder_options
        self.encoder = build_encoder(in_channels=in_channels, **options)
        channels, finest = self.encoder.channels[-4:], self.encoder.strides[-4:][0]
        self.score = nn.ModuleList(
            nn.Sequential(GlobalConvolution(width, num_classes, kernel), BoundaryRefinement(num_classes))
            for width in channels
        )
        # After the finest level, doubled until the input's size is reached: from stride 4 that is twice.
        self.last_strides = [2**power for power in reversed(range(finest.bit_length() - 1))]
        steps = len(channels) - 1 + len(self.last_strides)
        self.refine = nn.ModuleList(BoundaryRefinement(num_classes) for _ in range(steps))
        self.up = nn.ModuleList(Upsampling(num_classes, upsampling) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        levels = self.encoder(x)[-len(self.score) :]
        scores = [score(level) for score, level in zip(self.score, levels, strict=True)]
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels[-2::-1]]
        sizes += [(divide_up(x.shape[-2], stride), divide_up(x.shape[-1], stride)) for stride in self.last_strides]
        logits: Tensor = scores.pop()
        for up, refine, size in zip(self.up, self.refine, sizes, strict=True):
            logits = up(logits, size)
            logits = refine(logits + scores.pop() if scores else logits)
        return logits


class GlobalConvolution(nn.Module):
    """A ``k x k`` convolution to the classes from two pairs of thin ones (Peng et al. 2017, section 3.1).

    ``(k x 1 then 1 x k) + (1 x k then k x 1)``, without activations: within the slice a dense convolution whose kernel
    is the sum of two separable ones.

    Args:
        in_channels: input channels.
        channels: output channels, also between the convolutions of a pair.
        kernel: odd length k.
    """

    def __init__(self, in_channels: int, channels: int, kernel: int) -> None:
        super().__init__()
        tall, wide = ((kernel, 1), (kernel // 2, 0)), ((1, kernel), (0, kernel // 2))
        self.left = nn.Sequential(_thin(in_channels, channels, *tall), _thin(channels, channels, *wide))
        self.right = nn.Sequential(_thin(in_channels, channels, *wide), _thin(channels, channels, *tall))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, channels, h, w)``."""
        out: Tensor = self.left(x) + self.right(x)
        return out


def _thin(in_channels: int, out_channels: int, kernel: tuple[int, int], padding: tuple[int, int]) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


class BoundaryRefinement(nn.Module):
    """``x + conv(ReLU(conv(x)))`` with 3x3 convolutions (Peng et al. 2017, section 3.2).

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        out: Tensor = x + self.residual(x)
        return out


class Upsampling(nn.Module):
    """Double the size and bring it to a given one.

    Args:
        channels: of input and output.
        kind: ``transposed``: a 4x4 transposed convolution that starts as bilinear interpolation; ``bilinear``: that,
            with aligned corners and without parameters.
    """

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.conv: nn.ConvTranspose2d | None = None
        if kind == "transposed":
            self.conv = nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False)
            nn.init.zeros_(self.conv.weight)
            line = self.conv.weight.new_tensor([0.25, 0.75, 0.75, 0.25])
            for channel in range(channels):
                self.conv.weight.data[channel, channel] = line[:, None] * line[None]

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, C, *size)``."""
        if self.conv is None:
            return resize(x, size, align_corners=True)
        return crop_or_resize(self.conv(x), size)
