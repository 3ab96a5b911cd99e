"""The structure loss: cross-entropy and intersection over union, both weighted towards borders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.labels import IGNORE
from spine_ignite.losses.class_weights import class_weights
from spine_ignite.losses.partial import weighted_mean
from spine_ignite.machine.whole_batch import rows_of_all


class StructureLoss(nn.Module):
    """Weighted binary cross-entropy plus weighted soft IoU (Wei et al. 2020, F³Net, equations 5 to 9).

    For a mask ``g`` a pixel weighs ``w = 1 + emphasis |mean of g over window x window - g|``, with zeros beyond the
    border. With ``p`` the probability, an image has the loss ``sum(w bce) / sum(w) + 1 - (sum(w p g) + 1) / (sum(w (p +
    g - p g)) + 1)``, and the loss is the mean over the images.

    The publication has one structure. For several the formula is taken for each class but the background against all
    others, ``p`` being its softmax probability, and averaged; that is ours. For two classes it is the published one.

    A class that a row does not label is left out of the mean, ignored pixels out of all sums; in the means over windows
    they lie outside the mask.

    Args:
        num_classes: classes, background included.
        window: rows and columns of the mean, in pixels; odd. Published for images of 352 x 352.
        emphasis: the largest that the weight rises above 1.
        weighted_bce: False: the cross-entropy is a plain mean over batch and pixels, as in the released code of PraNet,
            Inf-Net and CaraNet, whose argument ``reduce='none'`` means that.
        weight: of each class in the mean, background included, which has no part in it; one by default.

    Raises:
        ValueError: the window is not odd, or the emphasis negative, or the weights do not fit.
    """

    of_rows = True
    weight: Tensor | None

    def __init__(
        self,
        num_classes: int,
        window: int = 31,
        emphasis: float = 5.0,
        weighted_bce: bool = True,
        weight: list[float] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(window, int) or window < 1 or window % 2 == 0:
            raise ValueError(f"window must be an odd number of pixels, got {window}")
        if emphasis < 0:
            raise ValueError(f"emphasis must be 0 or more, got {emphasis}")
        self.num_classes = num_classes
        self.window = window
        self.emphasis = emphasis
        self.weighted_bce = weighted_bce
        self.register_buffer("weight", class_weights(weight, num_classes))

    def forward(self, logits: Tensor, label: Tensor, labelled: Tensor | None = None) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``; see :class:`.criterion.Criterion`."""
        classes = torch.arange(1, self.num_classes, device=label.device)
        inside = label[:, None].long() == classes[:, None, None]
        mask = inside.to(logits.dtype)
        weight = 1 + self.emphasis * (self._count(inside).to(mask.dtype) / self.window**2 - mask).abs()
        counted = None if labelled is None else (label != IGNORE)[:, None].to(logits.dtype)
        if counted is not None:
            weight = weight * counted
        log_p, log_rest = one_against_rest(logits)
        bce = -torch.where(inside, log_p[:, 1:], log_rest[:, 1:])
        p = log_p[:, 1:].exp()
        overlap = (weight * p * mask).sum((2, 3))
        either = (weight * (p + mask)).sum((2, 3)) - overlap
        entropy, known = self._entropy(weight, bce, counted, labelled)
        share = torch.ones_like(overlap)
        if labelled is not None and counted is not None:
            share = labelled[:, 1:] * counted.amax((2, 3))
        overlap, either, entropy, known, share = rows_of_all(overlap, either, entropy, known, share)
        entropy = entropy / known if self.weighted_bce else entropy.sum(0) / known.sum(0).clamp_min(1)
        value = entropy + 1 - (overlap + 1) / (either + 1)
        if labelled is None and self.weight is None:
            return value.mean()
        return weighted_mean(value, share if self.weight is None else share * self.weight[1:].to(value))

    def _entropy(
        self, weight: Tensor, bce: Tensor, counted: Tensor | None, labelled: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return sums over the pixels of each row and class, ``(B, K - 1)``, and what they are to be divided by."""
        if self.weighted_bce:
            total = weight.sum((2, 3))  # a pixel that counts weighs at least 1
            return (weight * bce).sum((2, 3)), total if counted is None else total.clamp_min(1)
        if counted is None or labelled is None:
            return bce.sum((2, 3)), torch.full_like(bce[:, :, 0, 0], bce.shape[2] * bce.shape[3])
        known = counted * labelled[:, 1:, None, None]
        return (known * bce).sum((2, 3)), known.sum((2, 3))

    def _count(self, inside: Tensor) -> Tensor:
        """Return how many pixels of the window around each are inside: running sums cost the same for any window."""
        reach = self.window // 2
        counts = inside.int()
        for dim, padding in ((3, (reach + 1, reach)), (2, (0, 0, reach + 1, reach))):
            sums = F.pad(counts, padding).cumsum(dim, dtype=torch.int32)
            length = counts.shape[dim]
            counts = sums.narrow(dim, self.window, length) - sums.narrow(dim, 0, length)
        return counts


def one_against_rest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithms of each class's softmax probability and of the sum of all others', ``(B, K, H, W)`` both.

    ``log(1 - p)`` keeps its digits as ``p`` nears 1: only the likeliest class can come near, and its rest is the sum of
    the others.
    """
    log_p = logits.log_softmax(1)
    likeliest = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, logits.argmax(1, keepdim=True), True)
    of_others = torch.log1p(-log_p.exp().masked_fill(likeliest, 0.0))
    of_likeliest = log_p.masked_fill(likeliest, -torch.inf).logsumexp(1, keepdim=True)
    return log_p, torch.where(likeliest, of_likeliest, of_others)
