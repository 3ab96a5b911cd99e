"""The network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import Unpack

from spine_ignite.nn.attention import ResidualAttention, attend, exact_matmul
from spine_ignite.nn.blocks import ConvNormAct, resize
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder, multi_grid_dilations
from spine_ignite.spec import Aux, ModelOutput


class DANet(nn.Module):
    """DANet (Fu et al. 2019, section 3; compared with the authors' repository).

    Position and channel attention side by side on the features of a dilated residual network with multi-grid. In
    training each branch has a classifier of its own with weight 1.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        multi_grid: factors of the last stage's dilations, block by block.
        channels: of each branch.
        dropout: channel dropout before the classifiers.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        multi_grid: tuple[int, ...] = (1, 2, 4),
        channels: int = 512,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        super().__init__()
        options = DilatedBackboneArguments(backbone="resnet101", output_stride=8) | encoder_options
        self.encoder = build_encoder(in_channels=in_channels, dilations=multi_grid_dilations(multi_grid), **options)
        features = self.encoder.channels[-1]
        self.position = _branch(features, channels, PositionAttention(channels))
        self.channel = _branch(features, channels, ChannelAttention())
        names = ("sum", "position", "channel")
        self.classify = nn.ModuleDict(
            {name: nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(channels, num_classes, 1)) for name in names}
        )

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        features = self.encoder(x)[-1]
        position, channel = self.position(features), self.channel(features)
        size = (x.shape[-2], x.shape[-1])
        logits = resize(self.classify["sum"](position + channel), size, align_corners=True)
        if not self.training:
            return logits
        aux = {
            "position": Aux(self.classify["position"](position), 1.0),
            "channel": Aux(self.classify["channel"](channel), 1.0),
        }
        return ModelOutput(logits, aux)


def _branch(in_channels: int, channels: int, attention: nn.Module) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(in_channels, channels), attention, ConvNormAct(channels, channels))


class PositionAttention(ResidualAttention):
    """Each pixel attends to all pixels (Fu et al. 2019, section 3.2); the dot products are not scaled."""

    def gather(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map queries and keys ``(B, C / 8, h, w)`` and values ``(B, C, h, w)`` to the values' shape."""
        return attend(query.flatten(2), key.flatten(2), value.flatten(2), scale=1.0).reshape(value.shape)


class ChannelAttention(nn.Module):
    """Each channel attends to all channels (Fu et al. 2019, section 3.3).

    As in the authors' release the weights are ``softmax(-X X^T)``: unlike channels are looked at. The result is scaled
    by ``gamma``, which starts at zero, and added to the input.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        columns = x.flatten(2)
        with torch.autocast(x.device.type, enabled=False):
            energy: Tensor = Gram.apply(columns)  # type: ignore[no-untyped-call]
            # The scale goes to the small matrix, so that neither the context nor its multiple is ever kept.
            weights = self.gamma * (-energy).softmax(-1)
            return torch.baddbmm(columns, weights.to(x.dtype), columns).reshape(x.shape)


class Gram(torch.autograd.Function):
    """Dot products of all pairs of rows, ``X X^T``, in float32 or float64; backward needs one product, not two."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Map ``(B, C, N)`` to ``(B, C, C)``."""
        ctx.save_for_backward(rows)
        return exact_matmul(rows, rows.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return the gradient of the rows."""
        (rows,) = ctx.saved_tensors
        return exact_matmul(grad + grad.transpose(1, 2), rows).to(rows.dtype)
