"""The network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import Unpack

from spine_ignite.nn.attention import at_least_float32
from spine_ignite.nn.blocks import ConvNormAct
from spine_ignite.nn.encoder_options import DilatedBackboneArguments
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.heads import EncoderHeadNetwork


class EMANet(EncoderHeadNetwork):
    """EMANet (Li et al. 2019, section 3; compared with the authors' repository).

    A dilated residual network, an expectation-maximisation attention unit, a classifier.

    Args:
        in_channels: input channels.
        num_classes: classes, background included.
        channels: of the attention unit; the paper has 512.
        bases: number of bases.
        rounds: E and M steps in a forward pass.
        momentum: of the moving bases: the share that stays at each training step.
        dropout: channel dropout before the classifier.
        encoder_options: for ``build_encoder``, ``backbone`` and so on; by default ``resnet101s`` at output stride 8.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 512,
        bases: int = 64,
        rounds: int = 3,
        momentum: float = 0.9,
        dropout: float = 0.1,
        **encoder_options: Unpack[DilatedBackboneArguments],
    ) -> None:
        options = DilatedBackboneArguments(backbone="resnet101s", output_stride=8) | encoder_options
        encoder = build_encoder(in_channels=in_channels, dilations=_dilations, **options)
        super().__init__(
            encoder, EMAHead(encoder.channels[-1], channels, num_classes, bases, rounds, momentum, dropout)
        )


def _dilations(output_stride: int) -> Mapping[int, Sequence[int]]:
    """The release's: a multi-grid (1, 2, 4), but the first block of stage 4 has the dilation of the stage before."""
    return {8: {4: (2, 8, 16)}, 16: {4: (1, 4, 8)}}.get(output_stride, {})


class EMAHead(nn.Module):
    """Reduction, attention unit, 3x3 convolution and classifier, on the encoder's last features.

    Args:
        in_channels: channels of the features.
        channels: of the attention unit.
        num_classes: classes.
        bases: number of bases.
        rounds: E and M steps in a forward pass.
        momentum: of the moving bases.
        dropout: channel dropout before the classifier.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        bases: int,
        rounds: int,
        momentum: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.reduce = ConvNormAct(in_channels, channels)
        self.attention = EMAttention(channels, bases, rounds, momentum)
        self.classify = nn.Sequential(
            ConvNormAct(channels, channels // 2), nn.Dropout2d(dropout), nn.Conv2d(channels // 2, num_classes, 1)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the feature maps to logits ``(B, num_classes, h, w)`` at the size of the last."""
        logits: Tensor = self.classify(self.attention(self.reduce(features[-1])))
        return logits


class EMAttention(nn.Module):
    """Expectation-maximisation attention unit (Li et al. 2019, section 3.3).

    Pixels are assigned softly to a few bases (E), the bases become the means of their pixels (M), several times over;
    the pixels are then rebuilt from the bases. The bases start from a buffer; in training it moves towards the mean of
    the batch's final bases (section 3.4); the training makes the buffers of its processes one.

    As in the authors' release no gradient flows through the steps. The first convolution therefore never learns; here
    it is frozen openly, so that distributed training does not wait for its gradient.

    Args:
        channels: of input and output.
        bases: number of bases.
        rounds: E and M steps.
        momentum: share of the buffer that stays at each training step.
    """

    bases: Tensor

    def __init__(self, channels: int, bases: int = 64, rounds: int = 3, momentum: float = 0.9) -> None:
        super().__init__()
        self.rounds = rounds
        self.momentum = momentum
        self.register_buffer("bases", F.normalize(torch.randn(1, channels, bases) * (2.0 / bases) ** 0.5, dim=1))
        self.before = nn.Conv2d(channels, channels, 1)
        self.after = ConvNormAct(channels, channels, 1, activation="none")
        for conv in (self.before, self.after[0]):  # the unit's alone: the release leaves the head's as torch has them
            nn.init.kaiming_normal_(conv.get_parameter("weight"), mode="fan_out")
        self.before.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        assignment, bases = self._maximise(x)
        if self.training:
            self._move(bases)
        conv, norm, _ = self.after
        weight = conv.get_parameter("weight").flatten(1)
        projected: Tensor = RebuiltProjection.apply(  # type: ignore[no-untyped-call]
            *(part.to(x.dtype) for part in (weight, bases, assignment))
        )
        # Batch norm's backward looks at its input, not at what is overwritten here.
        out: Tensor = norm(projected.unflatten(2, x.shape[-2:]))
        return out.add_(x).relu_()

    @torch.no_grad()
    def _maximise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the assignment ``(B, bases, N)`` of the last E step and the bases ``(B, C, bases)`` after it.

        Both steps are linear in the first convolution's output ``W x + b``. So the convolution is applied to the bases,
        not to the pixels: ``mu^T (W x + b) = (W^T mu)^T x + mu^T b``, and ``(W x + b) z = W (x z) + b (1^T z)``.
        """
        pixels = at_least_float32(x).flatten(2)
        weight, bias = (p.reshape(len(p), -1).to(pixels.dtype) for p in self.before.parameters())
        with torch.autocast(x.device.type, enabled=False):
            bases = self.bases.to(pixels.dtype).expand(x.shape[0], -1, -1)
            assignment = pixels.new_zeros(())
            for _ in range(self.rounds):
                transposed = bases.transpose(1, 2)
                assignment = torch.baddbmm(transposed @ bias, transposed @ weight, pixels).softmax(1)
                total = assignment.sum(2)[:, None]
                bases = weight @ torch.bmm(pixels, assignment.transpose(1, 2)) + bias * total
                bases = bases / (1e-6 + total)
                bases = bases / (1e-6 + bases.norm(dim=1, keepdim=True))
        return assignment, bases

    @torch.no_grad()
    def _move(self, bases: Tensor) -> None:
        self.bases.lerp_(bases.mean(0, keepdim=True).to(self.bases.dtype), 1 - self.momentum)


class RebuiltProjection(torch.autograd.Function):
    """``W ReLU(mu Z)``: the pixels rebuilt from the bases, and the second convolution.

    Only bases and assignment are kept, which are small; backward, to the weight alone, rebuilds the pixels once more.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bases: Tensor, assignment: Tensor) -> Tensor:
        """Map ``(D, C)``, ``(B, C, bases)`` and ``(B, bases, N)`` to ``(B, D, N)``."""
        ctx.save_for_backward(bases, assignment)
        with torch.autocast(weight.device.type, enabled=False):
            return torch.bmm(weight.expand(bases.shape[0], -1, -1), _rebuild(bases, assignment))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the weight."""
        with torch.autocast(grad.device.type, enabled=False):
            return torch.bmm(grad, _rebuild(*ctx.saved_tensors).transpose(1, 2)).sum(0), None, None


def _rebuild(bases: Tensor, assignment: Tensor) -> Tensor:
    return torch.bmm(bases, assignment).relu_()
