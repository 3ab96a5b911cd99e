"""What the doctor measures while a run trains; nothing in a step waits for the device, all is read once an epoch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from spine_ignite.training.events import TrainingEvents, at_boundary, ends_epoch
from spine_ignite.training.parameter_groups import base_rate
from spine_ignite.training.setup import Run

# Steps at the start of an epoch whose gradient norms stand for how it began.
_FIRST_NORMS = 5

# Below this share of the peak rate an update is lost in the rounding of float32 weights.
_LEAST_RATE = 0.1


class Vitals:
    """Vital signs of the epoch in progress.

    The change of the weights and the gradients of single layers are looked at in the last step of an epoch only; of
    each weight the first filter stands for all, so that the copy it takes is small.

    Args:
        run: what is measured; its peak learning rate is ``optimizer.lr``.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.weights = [p for p in run.network.parameters() if p.ndim > 1 and p.requires_grad]
        self.stopwatch = DeviceIdle(run.device) if run.device.type == "cuda" else Waiting()
        self._first_loss: Tensor | None = None
        self._norms: list[Tensor] = []
        self._before: list[Tensor] = []
        self._run_begins = True
        self._reset()

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self._start_waiting)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self._stop_waiting)
        trainer.add_event_handler(TrainingEvents.GRADIENTS_READY, self._look_at_layers)
        trainer.add_event_handler(TrainingEvents.UPDATED, self._measure_update)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        trainer.add_event_handler(TrainingEvents.STEP_SETTLED, self._stop)

    def summary(self) -> dict[str, float]:
        """Return the epoch's vital signs by name, for ``metrics.jsonl``; what was not seen is left out.

        ``doctor/first_loss`` is that of the first step, ``gradient_norm`` the median of all norms before clipping,
        ``largest_gradient_norm`` the largest, ``first_gradient_norm`` the median of the first few and
        ``unusable_gradients`` the number of norms that are not finite,
        ``depth_ratio`` the size of the gradients in the first third of the layers over that in the last third (each
        relative to its weights), ``update_ratio`` the change of the weights in one update over their size, at the peak
        learning rate, ``step_seconds`` the time of all steps and ``waiting`` the share of it spent waiting for data.
        """
        seconds = (self._ended or time.perf_counter()) - self._started
        result = {"step_seconds": seconds, "waiting": min(1.0, self.stopwatch.read() / max(seconds, 1e-9))}
        if self._first_loss is not None:
            result["first_loss"] = float(self._first_loss)
        result |= self._gradients() | self._layers()
        if self._update_ratio is not None:
            result["update_ratio"] = float(self._update_ratio)
        return {f"doctor/{name}": value for name, value in result.items()}

    def _gradients(self) -> dict[str, float]:
        if not self._norms:
            return {}
        norms = torch.stack(self._norms)
        finite = norms[norms.isfinite()].tolist()
        # A scaler of float16 gradients tries how far it can go: such steps are skipped by design.
        unusable = 0 if self.run.step.scaler.is_enabled() else len(norms) - len(finite)
        result = {"unusable_gradients": float(unusable)}
        if finite:
            result["gradient_norm"] = statistics.median(finite)
            result["largest_gradient_norm"] = max(finite)
            result["first_gradient_norm"] = statistics.median(finite[:_FIRST_NORMS])
        return result

    def _layers(self) -> dict[str, float]:
        sizes = [] if self._relative is None else self._relative[self._relative.isfinite()].tolist()
        third = len(sizes) // 3
        if not third:
            return {}
        last = statistics.median(sizes[-third:])
        return {"depth_ratio": statistics.median(sizes[:third]) / last} if last > 0 else {}

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen of the epoch so far, but for times, which are the process's."""
        return {"first_loss": self._first_loss, "norms": torch.stack(self._norms) if self._norms else torch.empty(0)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on within an epoch."""
        first = state["first_loss"]
        self._first_loss = first.to(self.run.device) if first is not None else None
        self._norms = list(state["norms"].to(self.run.device).unbind())

    def _start_epoch(self, engine: Engine) -> None:
        seen = self.state_dict()
        self._reset()
        if not at_boundary(engine):  # a resumed run goes on within an epoch
            self.load_state_dict(seen)

    def _reset(self) -> None:
        self._started = time.perf_counter()
        self._ended: float | None = None
        self.stopwatch.reset()
        self._first_loss = None
        self._norms = []
        self._relative: Tensor | None = None
        self._update_ratio: Tensor | None = None
        self._before = []

    def _start_waiting(self) -> None:
        self.stopwatch.start()

    def _stop_waiting(self) -> None:
        self.stopwatch.stop()
        if self._run_begins:  # loader processes and queues start up once
            self._run_begins = False
            self.stopwatch.reset()

    def _look_at_layers(self, engine: Engine) -> None:
        if not at_boundary(engine):
            return
        with torch.no_grad():
            pairs = [(p, p.grad) for p in self.weights if p.grad is not None]
            self._relative = torch.stack([g.norm() / p.norm() for p, g in pairs]) if pairs else None
            self._before = [p[:1].clone() for p in self.weights]

    def _add(self, engine: Engine) -> None:
        output = engine.state.output
        if self._first_loss is None:
            self._first_loss = output["loss"]
        if output["gradient_norm"] is not None:
            self._norms.append(output["gradient_norm"])

    def _stop(self, engine: Engine) -> None:
        """Stop the clock after the last step, once the device has done it."""
        if ends_epoch(engine):
            float(engine.state.output["loss"])
            self._ended = time.perf_counter()

    def _measure_update(self) -> None:
        if not self._before:
            return
        share = base_rate(self.run.optimizer) / self.run.config.optimizer.lr
        if share >= _LEAST_RATE:
            with torch.no_grad():
                change = [p[:1] - before for p, before in zip(self.weights, self._before, strict=True)]
                self._update_ratio = _norm(change) / _norm(self._before) / share
        self._before = []


class Waiting:
    """Seconds that the process waits for its loader."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._seconds = 0.0
        self._since = time.perf_counter()

    def start(self) -> None:
        """Begin to wait."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """The batch is there."""
        self._seconds += time.perf_counter() - self._since

    def read(self) -> float:
        """Return the seconds waited so far."""
        return self._seconds


class DeviceIdle:
    """Seconds that a GPU has nothing to do until the next batch is there.

    The process runs ahead of the GPU, so its own waiting says little. One event goes into the GPU's queue after a step
    and one before the next: what lies between them is idle time, and neither is waited for in the step.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._since: torch.cuda.Event | None = None

    def start(self) -> None:
        """The step is in the queue."""
        self._since = self._mark()

    def stop(self) -> None:
        """The batch is there."""
        if self._since is not None:
            self._pairs.append((self._since, self._mark()))

    def read(self) -> float:
        """Return the idle seconds so far; waits for the GPU."""
        torch.cuda.synchronize(self.device)
        return sum(float(before.elapsed_time(after)) for before, after in self._pairs) / 1000

    def _mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event


def _norm(tensors: list[Tensor]) -> Tensor:
    return nn.utils.get_total_norm(tensors)
