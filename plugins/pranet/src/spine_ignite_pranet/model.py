"""The network."""

from __future__ import annotations

from torch import Tensor

from spine_ignite.nn.reverse_attention import ParallelReverseNetwork, supervised
from spine_ignite.spec import ModelOutput


class PraNet(ParallelReverseNetwork):
    """PraNet (Fan et al. 2020, section 2; compared with the authors' repository), for any number of classes.

    A partial decoder on the three coarse levels of a Res2Net gives a first map; three stages of reverse attention
    correct it, from coarse to fine. All four maps are supervised with weight 1. The arguments are those of
    :class:`ParallelReverseNetwork`, without edge features.
    """

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""
        return supervised(self.maps(self.encoder(x)), (x.shape[-2], x.shape[-1]), self.training)
