"""A plugin of this program for the benchmarks: nnU-Net's network, and a clock.

It is installed by :func:`nnunet_data.plugin`, which writes the entry point into a temporary folder.
"""

from __future__ import annotations

import json
import os
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper

if TYPE_CHECKING:
    from ignite.engine import Engine

PAPER = Paper(
    "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
    "F. Isensee et al.",
    "Nature Methods",
    2021,
    "https://doi.org/10.1038/s41592-020-01008-z",
    "isensee2021nnunet",
)


class PlannedOptions(ModelOptions):
    """Options of the network that nnU-Net has planned."""

    plans: str = Field("", description="nnU-Net's plans")


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register nnU-Net's own network."""
    register(ModelSpec("nnunet", "nnunet_network:PlannedNetwork", "nnU-Net's plan", PAPER, PlannedOptions))


@hookimpl
def attach_handlers(trainer: Engine, evaluator: Engine, run: Any) -> None:
    """Write the end of each iteration to ``BENCHMARK_STAMPS``, and of as many of a bare loop after an epoch."""
    if "BENCHMARK_STAMPS" not in os.environ:
        return
    from ignite.engine import Events

    batches = []

    def stamp(kind: str) -> None:
        with Path(os.environ["BENCHMARK_STAMPS"]).open("a") as file:
            file.write(json.dumps({"kind": kind, "at": time.monotonic()}) + "\n")

    @trainer.on(Events.ITERATION_COMPLETED)
    def step_done(engine: Engine) -> None:
        stamp("step")
        if len(batches) < 4:
            batches.append(engine.state.batch)

    if os.environ.get("BENCHMARK_BARE"):
        from bare_loop import bare_steps, ready

        @trainer.on(Events.EPOCH_COMPLETED)
        def bare(engine: Engine) -> None:
            kept = cycle([ready(batch) for batch in batches])
            stamp("start of the bare loop")
            for _ in bare_steps(run, islice(kept, engine.state.epoch_length)):
                stamp("bare")
