"""Let a network that needs sizes of a certain multiple take any size."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.attention import at_least_float32
from spine_ignite.nn.blocks import resize
from spine_ignite.spec import Aux, ModelOutput


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the border of ``(B, C, H, W)`` at the bottom and right until H and W are multiples of ``multiple``."""
    below, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, below), mode="replicate")


class PaddedNetwork(nn.Module):
    """Pad H and W at the bottom and right to a multiple, run the network, crop its logits back.

    The border is replicated. Where something was padded, auxiliary logits are resized to the padded size, as the loss
    would do it, and cropped too: a coarse map that is cropped covers more than the input, and the loss would shrink it.

    Args:
        network: takes ``(B, C, H, W)`` with H and W multiples of ``multiple``.
        multiple: at least 2.
        aux_align_corners: of the resizing of auxiliary logits.
    """

    def __init__(self, network: nn.Module, multiple: int, aux_align_corners: bool = False) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.aux_align_corners = aux_align_corners

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, C, H, W)`` to logits ``(B, num_classes, H, W)``."""
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.multiple)
        output: Any = self.network(padded)
        if isinstance(output, Tensor):
            return output[..., :height, :width]
        if padded.shape == x.shape:
            return ModelOutput(output.logits, output.aux, output.penalties)
        size = (padded.shape[-2], padded.shape[-1])
        aux = {}
        for name, item in output.aux.items():
            logits = resize(at_least_float32(item.logits), size, self.aux_align_corners)
            aux[name] = Aux(logits[..., :height, :width], item.weight, item.target)
        return ModelOutput(output.logits[..., :height, :width], aux, output.penalties)
