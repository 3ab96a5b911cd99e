"""One process of a small training, in float64 if asked for: what ``shared_batches.py`` starts one or several of.

    python benchmarks/processes_child.py DATA OUT PRECISION KEY=VALUE …

The last weights, averages and buffers go to ``OUT/weights.pt``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from torch import nn

from spine_ignite.config import load_config
from spine_ignite.training.run import train

SMALL = ("data.spacing=[4,4]", "data.validation=0.3", "precision=fp32", "log.tensorboard=false", "log.doctor=false")


def main() -> None:
    """Train, and save what came of it."""
    torch.set_num_threads(int(sys.argv[3].partition(":")[2] or 1))
    data, out, in_double = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].startswith("float64")

    def prepare(trainer: Any, _evaluator: Any, run: Any) -> None:
        if in_double:
            for network in {run.network, run.judged}:
                network.double()
                network.register_forward_pre_hook(to_double)
            run.step.criterion.double()
        trainer.add_event_handler(Events.COMPLETED, lambda: save(run))

    def save(run: Any) -> None:
        if run.processes.first:
            state = {"network": run.network.state_dict(), "judged": run.judged.state_dict()}
            torch.save(state, out.with_suffix(".pt"))

    overrides = [*SMALL, f"data.root={data}", f"data.cache={data.parent / 'cache'}", *sys.argv[4:]]
    train(load_config(None, overrides), out, echo=lambda line: None, handlers=[prepare])


def to_double(_network: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Turn the image of a network into float64."""
    return (given[0].double(), *given[1:])


if __name__ == "__main__":
    main()
