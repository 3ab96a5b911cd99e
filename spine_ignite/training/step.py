"""The update step as an Ignite engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol

import torch
from ignite.engine import Engine
from torch import Tensor, nn
from torch.optim import Optimizer

from spine_ignite.losses.criterion import Criterion, LossValue
from spine_ignite.machine.precision import Precision
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.machine.whole_batch import are_shared, shared_rows
from spine_ignite.seeds import derive_seed
from spine_ignite.spec import ModelOutput
from spine_ignite.training.contract import Contract
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.shared_gradients import Agreement

Batch = dict[str, Tensor]


class Augment(Protocol):
    """Changes a training batch, as a function of its iteration."""

    def __call__(
        self, image: Tensor, label: Tensor, iteration: int, rows: Sequence[int] | None = None, of: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return an augmented copy of image ``(B, C, H, W)`` and label ``(B, H, W)``, all or some rows of a batch."""
        ...


class UpdateStep:
    """One training step: move, augment, forward, loss, backward, and an update every ``accumulate`` steps.

    Dropout draws from a generator seeded by the run's seed and the iteration, so that a step does not depend on the
    steps before it. Gradients of a group are averaged; the last group of an epoch may be smaller and counts as much.
    The first step holds the network against its contract, if one is given. Modules that are ``frozen`` stay in eval
    mode, so that their running statistics stay too. Where labels are ``partial``, the criterion is told which classes
    each row labels.

    Of several processes each has some rows of a batch of ``batch_size``; all take the step of the whole batch. One for
    which no row is left computes with one of another's, which counts nowhere.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        criterion: Criterion,
        *,
        device: torch.device,
        precision: Precision,
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        augment: Augment | None = None,
        channels_last: bool = True,
        seed: int = 0,
        contract: Contract | None = None,
        frozen: Sequence[nn.Module] = (),
        partial: bool = False,
        processes: Processes = ALONE,
        batch_size: int = 1,
    ) -> None:
        self.processes, self.batch_size = processes, batch_size
        self.agreement: Agreement | None = None
        if not processes.alone:
            share = len(processes.share.rows(batch_size)) / batch_size
            self.agreement = Agreement(network, criterion, processes, share)
        self.network = network
        self.optimizer = optimizer
        self.criterion = criterion
        self.device = device
        self.precision = precision
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.augment = augment
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.seed = seed
        self.contract = contract
        self.frozen = tuple(frozen)
        self.partial = partial
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision.scales_gradients)

    def __call__(self, engine: Engine, batch: Batch) -> dict[str, object]:
        """Run the step; all tensors of the output are detached, none has been waited for.

        It holds the ``loss``, its ``parts``, the number of ``samples`` and the ``gradient_norm`` before clipping, which
        is None where a step does not end its group.
        """
        iteration = engine.state.iteration
        self.network.train()
        for module in self.frozen:
            module.eval()
        self.criterion.train()
        image = batch["image"].to(self.device, non_blocking=True)
        label = batch["label"].to(self.device, non_blocking=True)
        labelled = batch["labelled"].to(self.device, non_blocking=True) if self.partial else None
        if self.augment is not None:
            image, label = self.augment(image, label, iteration, *self._place())
        number = [self.processes.number] if self.processes.number else []
        torch.manual_seed(derive_seed(self.seed, 1, iteration, *number))
        if self.agreement is not None:
            self.agreement.note_buffers()
        with shared_rows(self.processes, self.batch_size):
            value = self._loss(image, label, labelled)
        group, ends = self._group(engine)
        self.scaler.scale(value.total / group).backward()
        if self.agreement is not None:
            self.agreement.agree_on_buffers()
        if self.contract is not None:
            first = labelled[:1] if labelled is not None else None
            self.contract.check_gradients(self.network, lambda: self._loss(image[:1], label[:1], first).total)
            self.contract = None  # the first batch has shown what there is to see
        norm = self._update(engine) if ends else None
        samples = len(image) if self.processes.alone else self.batch_size
        return {"loss": value.total.detach(), "parts": value.parts, "samples": samples, "gradient_norm": norm}

    def _place(self) -> tuple[range, int] | tuple[()]:
        """Return which rows of which batch are here; nothing of one that is here as a whole."""
        of = self.batch_size
        return () if self.processes.alone else (self.processes.share.read(of), of)

    def _loss(self, image: Tensor, label: Tensor, labelled: Tensor | None) -> LossValue:
        image = image.contiguous(memory_format=self.memory_format)
        contract = self.contract
        with self.precision.autocast(), contract.failures_named(image) if contract is not None else nullcontext():
            output = self.network(image)
        if contract is not None:
            contract.check_training(output, image, self.network)
        if are_shared() and not self.processes.share.rows(self.batch_size):
            output, label, labelled = _no_rows(output), label[:0], None if labelled is None else labelled[:0]
        return self.criterion(output, label, labelled)

    def _group(self, engine: Engine) -> tuple[int, bool]:
        """Return the size of the current accumulation group, and whether this step ends it."""
        length = engine.state.epoch_length or 1
        place = (engine.state.iteration - 1) % length
        start = place - place % self.accumulate
        size = min(self.accumulate, length - start)
        return size, place == start + size - 1

    def _update(self, engine: Engine) -> Tensor:
        """Update the weights; return the norm of the gradients as they were."""
        if self.agreement is not None:
            self.agreement.add_gradients()
        self.scaler.unscale_(self.optimizer)
        engine.fire_event(TrainingEvents.GRADIENTS_READY)
        trained = [p for p in (*self.network.parameters(), *self.criterion.parameters()) if p.grad is not None]
        norm = self._norm(trained)
        if self.clip_value is not None:
            nn.utils.clip_grad_value_(trained, self.clip_value)
        if self.clip_norm is not None:
            now = norm if self.clip_value is None else self._norm(trained)
            nn.utils.clip_grads_with_norm_(trained, self.clip_norm, now)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        engine.fire_event(TrainingEvents.UPDATED)
        return norm

    @staticmethod
    def _norm(trained: list[nn.Parameter]) -> Tensor:
        return nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])


def _no_rows(output: Tensor | ModelOutput) -> Tensor | ModelOutput:
    """Return an output without its rows, through which gradients of 0 reach all parameters."""
    if isinstance(output, Tensor):
        return output[:0]
    aux = {name: replace(one, logits=one.logits[:0]) for name, one in output.aux.items()}
    return ModelOutput(output.logits[:0], aux, output.penalties)
