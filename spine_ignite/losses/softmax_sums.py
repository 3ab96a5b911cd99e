"""What soft Dice and cross-entropy need of the softmax, with one pass over the logits each way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spine_ignite.losses.partial import merge_unlabelled, or_one
from spine_ignite.machine.whole_batch import rows_of_all


def softmax_sums(
    logits: Tensor,
    label: Tensor,
    counted: Tensor | None = None,
    weight: Tensor | None = None,
    labelled: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the softmax over the pixels, class by class, without a one-hot tensor.

    Autograd would keep the logarithm and the probabilities, and fill a tensor of the logits' size for each of their
    uses on the way back; this keeps the probabilities alone and fills one. It can be differentiated once.

    Args:
        logits: ``(B, K, H, W)``, in any memory format.
        label: class indices ``(B, H, W)``, int64.
        counted: the pixels that count, ``(B, H, W)`` bool; all by default.
        weight: of each class in the mean of the log-probabilities, ``(K,)``; one by default.
        labelled: the classes that each row labels, ``(B, K)`` bool; the others are merged with the background, as
            :func:`.partial.merge_unlabelled` does it. All by default.

    Returns:
        ``overlap`` ``(B, K)``, for each class the sum of its probability over the pixels that have it in the reference;
        ``predicted`` ``(B, K)``, over all pixels; ``log_likelihood``, the mean over all pixels of the log-probability
        of the reference's class, in other processes too where a batch is shared.
    """
    index = label.flatten(1)
    counted = None if counted is None else counted.flatten(1)
    weights = pixel_weights(index, counted, weight, logits.dtype)
    mask = None if counted is None else counted.to(logits.dtype)
    merged = None if labelled is None else _merged(labelled, logits.dtype)
    overlap, predicted, by_row = _SoftmaxSums.apply(logits, index, mask, weights, merged)  # type: ignore[no-untyped-call]
    return overlap, predicted, mean_over_pixels(by_row, weights, index.shape[1])


def softmax_sums_of_squares(
    logits: Tensor,
    label: Tensor,
    counted: Tensor | None = None,
    weight: Tensor | None = None,
    labelled: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`softmax_sums`, but ``predicted`` sums the squares of the probabilities; by autograd alone."""
    index = label.flatten(1)
    counted = None if counted is None else counted.flatten(1)
    weights = pixel_weights(index, counted, weight, logits.dtype)
    if labelled is not None:
        logits = merge_unlabelled(logits, labelled)
    log_p = logits.flatten(2).log_softmax(1)
    log_chosen = log_p.gather(1, index[:, None])[:, 0]
    chosen, squares = log_chosen.exp(), log_p.exp().square()
    if counted is not None:
        chosen, squares = chosen * counted, squares * counted[:, None]
    by_row = (log_chosen if weights is None else weights * log_chosen).sum(1)
    log_likelihood = mean_over_pixels(by_row, weights, index.shape[1])
    return sums_by_class(chosen, index, logits.shape[1]), squares.sum(2), log_likelihood


def _merged(labelled: Tensor, dtype: torch.dtype) -> Tensor:
    """1 for the background and the classes that a row does not label, else 0: ``(B, K)``."""
    merged = ~labelled
    merged[:, 0] = True
    return merged.to(dtype)


def pixel_weights(index: Tensor, counted: Tensor | None, weight: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return how much each pixel weighs in a mean over pixels: as much as its class, or nothing.

    Args:
        index: classes, of any shape.
        counted: which pixels count, bool, of that shape; None: all.
        weight: of each class, ``(K,)``; None: one.
        dtype: of the result.

    Returns:
        Weights in that shape; None where all pixels weigh the same.
    """
    if weight is None:
        return None if counted is None else counted.to(dtype)
    weights = weight.to(dtype)[index]
    return weights if counted is None else weights * counted


def mean_over_pixels(by_row: Tensor, weights: Tensor | None, pixels: int) -> Tensor:
    """Return the mean over the pixels of a batch, of which rows may be in other processes; 0 where nothing counts.

    Args:
        by_row: sums over the pixels of each row, each times its weight, ``(B,)``.
        weights: of the pixels, ``(B, …)``; None: all are 1.
        pixels: of a row.
    """
    if weights is None:
        (by_row,) = rows_of_all(by_row)
        return by_row.sum() / (len(by_row) * pixels)
    by_row, total = rows_of_all(by_row, weights.flatten(1).sum(1))
    return by_row.sum() / or_one(total.sum())


def sums_by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    """Sum values ``(B, N)`` by class index ``(B, N)``: ``(B, classes)``."""
    count = len(index)
    cell = index + classes * torch.arange(count, device=index.device)[:, None]
    return values.new_zeros(count * classes).index_add_(0, cell.flatten(), values.flatten()).view(count, classes)


# With fewer classes than this, torch's softmax over values that lie side by side uses no vector instructions: on a CPU
# it takes seven times as long as a copy that sets the classes apart and a softmax of that.
_LEAST_VECTOR = 16


# Below this sum of the merged probabilities too few of their digits are left: the background stands for them alone.
_LEAST_SUM = 1e-30


class _SoftmaxSums(torch.autograd.Function):
    """Pixels are ``(B, N, K)`` throughout, whichever way they lie in memory: with classes innermost or pixels."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, index: Tensor, counted: Tensor | None, weights: Tensor | None, merged: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        few = logits.shape[1] < _LEAST_VECTOR and logits.device.type == "cpu"
        if few or logits.is_contiguous():
            pixels = logits.flatten(2).log_softmax(1).transpose(1, 2)
        else:
            pixels = logits.permute(0, 2, 3, 1).flatten(1, 2).log_softmax(2)
        log_chosen = pixels.gather(2, index[..., None])[..., 0]
        probabilities = pixels.exp_()
        together = None
        if merged is not None:
            together = torch.bmm(probabilities, merged[..., None])[..., 0]
            together = together.masked_fill((index != 0) | (together < _LEAST_SUM), 0)
            log_chosen = torch.where(together > 0, together.log(), log_chosen)
        ctx.save_for_backward(probabilities, index, counted, weights, merged, together)
        ctx.size = logits.shape[2:]
        chosen = log_chosen.exp()
        log_likelihood = (log_chosen if weights is None else weights * log_chosen).sum(1)
        if counted is None:
            predicted = probabilities.sum(1)
        else:
            predicted = torch.bmm(counted[:, None], probabilities)[:, 0]
            chosen = chosen * counted
        if merged is not None:
            background = (predicted * merged).sum(1, keepdim=True)
            predicted = torch.cat([background, (predicted * (1 - merged))[:, 1:]], 1)
        return sums_by_class(chosen, index, logits.shape[1]), predicted, log_likelihood

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, overlap: Tensor, predicted: Tensor, log_likelihood: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        # With p the softmax, y the reference's class, w its weight, and o, q, l the gradients of the three sums, logit
        # k gets p_k (q_k - sum_j p_j q_j - p_y o_y - l w) + [k = y] (p_y o_y + l w), and nothing where a pixel does
        # not count. Merged classes have q of the background; if y is the background, p_y is the sum of their
        # probabilities and the last term is theirs, each by its share p_k / p_y.
        probabilities, index, counted, weights, merged, together = ctx.saved_tensors
        chosen = probabilities.gather(2, index[..., None])
        if merged is not None:
            predicted = torch.where(merged > 0, predicted[:, :1], predicted)
            chosen = torch.where(together[..., None] > 0, together[..., None], chosen)
        of_mean = log_likelihood[:, None, None]
        of_mean = of_mean if weights is None else of_mean * weights[..., None]
        of_reference = chosen * overlap.gather(1, index)[..., None] + of_mean
        everywhere = torch.bmm(probabilities, predicted[:, :, None]) + of_reference
        gradient = torch.empty_like(probabilities)
        if merged is None:
            torch.sub(predicted[:, None], everywhere, out=gradient).mul_(probabilities)
        else:
            shared = torch.where(together[..., None] > 0, of_reference / chosen, 0)
            torch.mul(shared, merged[:, None], out=gradient).add_(predicted[:, None]).sub_(everywhere)
            gradient.mul_(probabilities)
            of_reference = of_reference.masked_fill(together[..., None] > 0, 0)
        gradient.scatter_add_(2, index[..., None], of_reference)
        if counted is not None:
            gradient.mul_(counted[..., None])
        return gradient.transpose(1, 2).unflatten(2, ctx.size), None, None, None, None
