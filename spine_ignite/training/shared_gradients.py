"""What processes that share batches do with gradients and buffers, so that their networks stay the same."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from spine_ignite.machine.processes import Processes
from spine_ignite.nn.shared_batch_norm import SharedBatchNorm2d


class Agreement:
    """Adds up gradients, and averages what a network changes in itself, over the processes of a training.

    In each process the loss is that of the whole batch, and is differentiated by its own rows: the gradients together,
    not their mean, are those of the batch. The parameters of a loss have theirs of the whole batch in each process.

    What forward passes write into buffers (running statistics, EMANet's bases) becomes the mean over the processes,
    each counting as many times as it has rows. So a buffer that moves towards the mean of the rows is what one process
    would have; running statistics of a batch norm that each process has alone are the mean of theirs.

    Args:
        network: what is trained.
        criterion: the loss.
        processes: that share batches; not one alone.
        weight: this process's rows as a share of a batch's.
    """

    def __init__(self, network: nn.Module, criterion: nn.Module, processes: Processes, weight: float) -> None:
        self.network, self.criterion = network, criterion
        self.processes, self.weight = processes, weight
        self._before: list[Tensor] = []

    def note_buffers(self) -> None:
        """Remember the buffers as they are before a forward pass."""
        self._before = [buffer.clone() for buffer in self._buffers()]

    def agree_on_buffers(self) -> None:
        """Let all processes have the same buffers after it."""
        now = self._buffers()
        # What has not changed must stay as it is, infinities of a mask too.
        changes = [torch.where(new == old, 0, new - old) for new, old in zip(now, self._before, strict=True)]
        for change, new, old in zip(self._sums(changes, self.weight), now, self._before, strict=True):
            new.copy_(torch.where(change == 0, old, old + change))
        self._before = []

    def add_gradients(self) -> None:
        """Let all processes have the gradients of the whole batch."""
        self._add([p for p in self.network.parameters() if p.requires_grad], 1.0)
        self._add([p for p in self.criterion.parameters() if p.requires_grad], 1 / self.processes.count)

    def _add(self, parameters: list[nn.Parameter], factor: float) -> None:
        if not parameters:
            return
        used = self.processes.largest([p.grad is not None for p in parameters])  # a layer may be left out at random
        parameters = [p for p, anywhere in zip(parameters, used, strict=True) if anywhere]
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        for parameter, total in zip(parameters, self._sums(gradients, factor), strict=True):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(total)

    def _sums(self, tensors: list[Tensor], factor: float) -> list[Tensor]:
        """Return the sums of tensors over all processes, each times the factor that its process gives."""
        sums = list(tensors)
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            places = [place for place, tensor in enumerate(tensors) if tensor.dtype is dtype]
            flat = torch.cat([tensors[place].reshape(-1) for place in places])
            parts = self.processes.add_up(flat if factor == 1 else flat.mul_(factor))
            for place, part in zip(places, parts.split([tensors[place].numel() for place in places]), strict=True):
                sums[place] = part.view(tensors[place].shape)
        return sums

    def _buffers(self) -> list[Tensor]:
        return [buffer for buffer in _of_each(self.network) if buffer.is_floating_point()]


def _of_each(network: nn.Module) -> Iterable[Tensor]:
    """Buffers of all modules but those that see the rows of all processes anyway."""
    for module in network.modules():
        if not isinstance(module, SharedBatchNorm2d):
            yield from module.buffers(recurse=False)
