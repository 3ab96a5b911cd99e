"""Steps per second of the whole training loop against a bare loop over preloaded batches.

Both train the same network with the same loss, optimizer and precision on batches of the same sizes, in alternating
blocks of one process, so that a noisy machine disturbs both alike. The bare loop has its batches in memory and does
nothing but forward, loss, backward and update. The whole loop is what ``spine-ignite train`` runs: slices read from the
store, learning-rate schedule, check for NaN, records, the training doctor, TensorBoard. Augmentation and averaged
weights are off, since the bare loop has neither, and there is no validation.

    python benchmarks/trainer_overhead.py --out benchmarks/results/trainer_overhead.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from bare_loop import bare_steps, ready
from ignite.engine import Engine, Events

from spine_ignite.config import load_config
from spine_ignite.phantom import write_phantoms
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.training.prepare import prepare as prepare_plan
from spine_ignite.training.session import attach
from spine_ignite.training.setup import Run, build


def prepare(folder: Path, steps: int, width: int) -> Run:
    """Build a run on phantoms, with all handlers that a run has."""
    write_phantoms(folder / "data", train=6, test=0, num_slices=11)
    overrides = [
        f"data.root={folder / 'data'}",
        "data.size=[224, 160]",
        "data.batch_size=8",
        f"model.width={width}",
        "model.depth=6",
        "augment.enabled=false",
        "train.ema=null",
        f"train.steps_per_epoch={steps}",
        "train.epochs=1000",
        "train.validate_every=1000",
        "train.checkpoint_every=1000",
    ]
    config = load_config(None, overrides)
    directory = RunDirectory(folder / "run")
    directory.root.mkdir()
    run = build(prepare_plan(config, directory))
    attach(run, lambda line: None, show_steps=False)
    return run


def bare_block(run: Run, batches: list[dict[str, torch.Tensor]]) -> float:
    """Seconds of a loop over preloaded batches."""
    started = time.perf_counter()
    for _ in bare_steps(run, batches):
        pass
    return time.perf_counter() - started


def measure(blocks: int, steps: int, width: int) -> dict[str, object]:
    """Run both loops in turn; the ratio is the median over pairs of neighbouring blocks."""
    with tempfile.TemporaryDirectory() as folder:
        run = prepare(Path(folder), steps, width)
        loader = run.data.training
        loader.start_at(0)
        batches = [ready(batch) for batch in loader.loader]
        loader.start_at(0)
        bare_block(run, batches[:2])
        bare: list[float] = []
        whole: list[float] = []
        started = [0.0]

        def begin(_engine: Engine) -> None:
            bare.append(bare_block(run, batches))
            started[0] = time.perf_counter()

        def end(engine: Engine) -> None:
            whole.append(time.perf_counter() - started[0])
            if len(whole) == blocks:
                engine.terminate()

        run.trainer.add_event_handler(Events.EPOCH_STARTED, begin)
        run.trainer.add_event_handler(Events.EPOCH_COMPLETED, end)
        run.trainer.run(loader.loader, max_epochs=1000, epoch_length=steps)
    ratios = [b / w for b, w in zip(bare, whole, strict=True)]
    return {
        "steps_per_block": steps,
        "blocks": blocks,
        "precision": run.precision.name,
        "threads": torch.get_num_threads(),
        "bare_steps_per_second": steps / statistics.median(bare),
        "whole_steps_per_second": steps / statistics.median(whole),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args()
    result = measure(options.blocks, options.steps, options.width)
    print(f"bare loop   {result['bare_steps_per_second']:.3f} steps/s")
    print(f"whole loop  {result['whole_steps_per_second']:.3f} steps/s")
    print(f"ratio       {result['ratio']:.3f} (median of {options.blocks} alternating blocks)")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
