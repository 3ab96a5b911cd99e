"""Instance normalisation that stays in ``channels_last`` on a CPU.

``torch.nn.InstanceNorm2d`` views a batch as one image of ``B * C`` channels. An image in ``channels_last`` must be
copied for that, and the convolution after it copies it back; in the U-Net that nnU-Net plans, these copies take a third
of a step in bf16. Here each image of the batch goes through torch's batch normalisation alone, whose kernels take
``channels_last`` as it is: an instance is a batch of one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_aten = torch.ops.aten


class InstanceNorm2d(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` with the same weights and results, for 1x1 maps too; see the module for the rest."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)`` over H and W."""
        if not self._is_handled_here(x):
            if self.affine and x.shape[-2:] == (1, 1):  # torch refuses a variance of one pixel; the bias remains
                return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
            return super().forward(x)
        result: Tensor = _PerImage.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return result

    def _is_handled_here(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype in (torch.float32, torch.bfloat16)
            and x.dim() == 4
            and x.is_contiguous(memory_format=torch.channels_last)
            and not x.is_contiguous()
            and self.affine
            and not self.track_running_stats
            and self.weight.dtype == torch.float32
            and not torch.compiler.is_compiling()
        )


def replace_instance_norms(network: nn.Module) -> None:
    """Put :class:`InstanceNorm2d` in the place of torch's throughout a network, with the same parameters."""
    for child in network.children():
        if type(child) is nn.InstanceNorm2d:
            child.__class__ = InstanceNorm2d  # keeps parameters, buffers, hooks, and references from elsewhere
        replace_instance_norms(child)


class _PerImage(torch.autograd.Function):
    """Batch normalisation of each image alone, written into place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        result = torch.empty_like(x)
        means, scales = (torch.empty(x.shape[:2]) for _ in range(2))
        for place in range(len(x)):
            one = slice(place, place + 1)
            out = {"out": result[one], "save_mean": means[place], "save_invstd": scales[place]}
            _aten.native_batch_norm.out(x[one], weight, bias, None, None, True, 0.0, eps, **out)
        ctx.save_for_backward(x, weight, means, scales)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, means, scales = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_x = torch.empty_like(x)
        of_weight, of_bias = (torch.empty(x.shape[:2]) for _ in range(2))
        for place in range(len(x)):
            one = slice(place, place + 1)
            out = {"out0": of_x[one], "out1": of_weight[place], "out2": of_bias[place]}
            saved = (means[place], scales[place], True, ctx.eps, [True, True, True])
            _aten.native_batch_norm_backward.out(gradient[one], x[one], weight, None, None, *saved, **out)
        return of_x, of_weight.sum(0), of_bias.sum(0), None
