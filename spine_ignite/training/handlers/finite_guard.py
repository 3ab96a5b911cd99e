"""Numbers that are not finite: they stop a run, and never reach a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from spine_ignite.errors import RunError
from spine_ignite.runs.resumption import repeat_command, resume_command
from spine_ignite.training.finite import are_finite
from spine_ignite.training.setup import Run

# How often the loss of a GPU is looked at: each look waits for the GPU.
_CHECK_EVERY = {"cpu": 1}


class FiniteGuard:
    """Stops at a loss that is not finite, and refuses weights that are not.

    The loss alone tells too little: gradients can overflow where it does not, and then the weights are lost in the last
    step of an epoch without a further loss to show it.

    Attributes:
        failed: whether a loss was not finite.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.failed = False
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

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        every = _CHECK_EVERY.get(self.run.device.type, 25)
        trainer.add_event_handler(Events.ITERATION_COMPLETED(every=every), self)

    def __call__(self, engine: Engine) -> None:
        """Stop after a step whose loss is not finite."""
        if not torch.isfinite(engine.state.output["loss"]):
            self.stop(engine)

    def stop(self, engine: Engine) -> None:
        """Stop training; whoever asked for it raises :meth:`error`."""
        self.failed = True
        engine.terminate()

    def require_finite(self) -> None:
        """Look at all that a checkpoint would hold.

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
