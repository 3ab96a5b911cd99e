"""The bare loop that whole trainings are compared with: forward, loss, backward and update of batches in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from spine_ignite.training.setup import Run

Batch = dict[str, Tensor]


def ready(batch: Batch) -> Batch:
    """Return a batch as a step wants it, so that the loop need not change it."""
    return {"image": batch["image"].contiguous(memory_format=torch.channels_last), "label": batch["label"].clone()}


def bare_steps(run: Run, batches: Iterable[Batch]) -> Iterator[None]:
    """Train the run's network on batches that are ready and on its device, with nothing around; one yield is a step."""
    step, network = run.step, run.network
    network.train()
    for batch in batches:
        with run.precision.autocast():
            output = network(batch["image"])
        step.criterion(output, batch["label"]).total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        step.optimizer.step()
        step.optimizer.zero_grad(set_to_none=True)
        yield
