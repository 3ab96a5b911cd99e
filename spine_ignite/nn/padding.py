"""Let a network that needs sizes of a certain multiple take any size."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.spec import Aux, ModelOutput


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the border of ``(B, C, H, W)`` at the bottom and right until H and W are multiples of ``multiple``."""
    below, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, below), mode="replicate")


class PaddedNetwork(nn.Module):
    """Pad H and W at the bottom and right to a multiple, run the network, crop its logits back.

    The border is replicated. Auxiliary logits of ``1/s`` of the padded size are cropped to the part of them that the
    input covers, rounded up.

    Args:
        network: takes ``(B, C, H, W)`` with H and W multiples of ``multiple``.
        multiple: at least 2.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        """Map ``(B, C, H, W)`` to logits ``(B, num_classes, H, W)``."""
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.multiple)
        output: Any = self.network(padded)
        if isinstance(output, Tensor):
            return output[..., :height, :width]
        aux = {name: self._crop(item, height, width, padded) for name, item in output.aux.items()}
        return ModelOutput(output.logits[..., :height, :width], aux, output.penalties)

    @staticmethod
    def _crop(aux: Aux, height: int, width: int, padded: Tensor) -> Aux:
        rows = -(-height * aux.logits.shape[-2] // padded.shape[-2])
        columns = -(-width * aux.logits.shape[-1] // padded.shape[-1])
        return Aux(aux.logits[..., :rows, :columns], aux.weight, aux.target)
