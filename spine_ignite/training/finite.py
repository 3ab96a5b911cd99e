"""Whether numbers are finite, and what is said if they are not."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError
from spine_ignite.runs.resumption import repeat_command, resume_command
from spine_ignite.training.setup import Run


def are_finite(values: Iterable[object]) -> bool:
    """Whether all numbers in the tensors among ``values`` are finite; waits for each device once."""
    by_device: dict[torch.device, list[Tensor]] = {}
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            by_device.setdefault(value.device, []).append(value.isfinite().all())
    return all(bool(torch.stack(found).all()) for found in by_device.values())


class Soundness:
    """Knows whether all that a checkpoint would hold is finite.

    Args:
        run: the run, which has not taken a step.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._modules = {"weights": run.network, "loss's parameters": run.step.criterion}
        if run.ema is not None:
            self._modules["averaged weights"] = run.ema.ema_model
        # A network may keep infinities on purpose, as in a mask that is added to scores.
        self._meant = {
            (what, name)
            for what, module in self._modules.items()
            for name, buffer in module.named_buffers()
            if not are_finite([buffer])
        }

    def require(self) -> None:
        """Look at all.

        Raises:
            RunError: the weights, their average, the optimizer's state or the loss's parameters are not finite.
        """
        for what, module in self._modules.items():
            if not are_finite(self._tensors(what, module)):
                raise self.error(f"the {what} are not finite after")
        if not are_finite(v for state in self.run.optimizer.state.values() for v in state.values()):
            raise self.error("the optimizer's state is not finite after")

    def error(self, what: str = "the loss is not finite at") -> RunError:
        """Return the error that names the step, what is kept, and what to do."""
        run, state = self.run, self.run.trainer.state
        shown = ", ".join(run.data.training.origins(state.iteration - 1)) if state.iteration else ""
        batch = f", with the batch of {shown}" if shown else ""
        last = run.directory.last
        kept = f"the last good checkpoint is {last}" if last.is_file() else "nothing is saved"
        advice = f"start a new run with a lower optimizer.lr: {repeat_command(run.directory)} --set optimizer.lr="
        advice += f"{run.config.optimizer.lr / 10:g}"
        if run.precision.name != "fp32":
            advice += f", or go on with: {resume_command(run.directory.root, 'precision=fp32')}"
        return RunError(f"{what} step {state.iteration} (epoch {state.epoch}){batch}; {kept}; {advice}")

    def _tensors(self, what: str, module: nn.Module) -> Iterable[Tensor]:
        yield from module.parameters()
        yield from (buffer for name, buffer in module.named_buffers() if (what, name) not in self._meant)
