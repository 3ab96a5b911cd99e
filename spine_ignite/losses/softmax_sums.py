"""What soft Dice and cross-entropy need of the softmax, with one pass over the logits each way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def softmax_sums(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the softmax over the pixels, class by class, without a one-hot tensor.

    Autograd would keep the logarithm and the probabilities, and fill a tensor of the logits' size for each of their
    uses on the way back; this keeps the probabilities alone and fills one. It can be differentiated once.

    Args:
        logits: ``(B, K, H, W)``, in any memory format.
        label: class indices ``(B, H, W)``, int64.

    Returns:
        ``overlap`` ``(B, K)``, for each class the sum of its probability over the pixels that have it in the reference;
        ``predicted`` ``(B, K)``, over all pixels; ``log_likelihood``, the mean over all pixels of the log-probability
        of the reference's class.
    """
    sums: tuple[Tensor, Tensor, Tensor] = _SoftmaxSums.apply(logits, label.flatten(1))  # type: ignore[no-untyped-call]
    return sums


def softmax_sums_of_squares(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`softmax_sums`, but ``predicted`` sums the squares of the probabilities; by autograd alone."""
    index = label.flatten(1)
    log_p = logits.flatten(2).log_softmax(1)
    log_chosen = log_p.gather(1, index[:, None])[:, 0]
    return sums_by_class(log_chosen.exp(), index, logits.shape[1]), log_p.exp().square().sum(2), log_chosen.mean()


def sums_by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    """Sum values ``(B, N)`` by class index ``(B, N)``: ``(B, classes)``."""
    count = len(index)
    cell = index + classes * torch.arange(count, device=index.device)[:, None]
    return values.new_zeros(count * classes).index_add_(0, cell.flatten(), values.flatten()).view(count, classes)


# With fewer classes than this, torch's softmax over values that lie side by side uses no vector instructions: on a CPU
# it takes seven times as long as a copy that sets the classes apart and a softmax of that.
_LEAST_VECTOR = 16


class _SoftmaxSums(torch.autograd.Function):
    """Pixels are ``(B, N, K)`` throughout, whichever way they lie in memory: with classes innermost or pixels."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        few = logits.shape[1] < _LEAST_VECTOR and logits.device.type == "cpu"
        if few or logits.is_contiguous():
            pixels = logits.flatten(2).log_softmax(1).transpose(1, 2)
        else:
            pixels = logits.permute(0, 2, 3, 1).flatten(1, 2).log_softmax(2)
        log_chosen = pixels.gather(2, index[..., None])[..., 0]
        probabilities = pixels.exp_()
        overlap = sums_by_class(log_chosen.exp(), index, logits.shape[1])
        ctx.save_for_backward(probabilities, index)
        ctx.size = logits.shape[2:]
        return overlap, probabilities.sum(1), log_chosen.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, overlap: Tensor, predicted: Tensor, log_likelihood: Tensor) -> tuple[Tensor, None]:
        # With p the softmax, y the reference's class, and o, q, l the gradients of the three sums, logit k gets
        # p_k (q_k - sum_j p_j q_j - p_y o_y - l / N) + [k = y] (p_y o_y + l / N).
        probabilities, index = ctx.saved_tensors
        chosen = probabilities.gather(2, index[..., None])
        of_reference = chosen * overlap.gather(1, index)[..., None] + log_likelihood / index.numel()
        everywhere = torch.bmm(probabilities, predicted[:, :, None]) + of_reference
        gradient = torch.sub(predicted[:, None], everywhere, out=torch.empty_like(probabilities)).mul_(probabilities)
        gradient.scatter_add_(2, index[..., None], of_reference)
        return gradient.transpose(1, 2).unflatten(2, ctx.size), None
