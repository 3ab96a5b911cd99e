"""Training on a GPU: slices per second of the whole loop against a bare loop on data that is already on the device.

UNet and three networks with attention in bfloat16, batches of 16 slices of 512 x 512 pixels. The bare loop does nothing
but forward, loss, backward and update, over random batches on the device. The whole loop is that of ``spine-ignite
train``: slices of phantoms read from the store by workers, copied, augmented on the device, recorded. They take turns.
Augmentation is timed on its own. Utilisation is what ``nvidia-smi`` reports in the whole loop.

    python benchmarks/gpu.py --out benchmarks/results/gpu.json

Without a GPU it says so and measures nothing; ``--device cpu --size 64 --batch 2 --steps 2`` tries the script.
Accuracy after ten minutes of training: ``time_to_dice.py LUMBAR --minutes 10`` on the same machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from bare_loop import Batch, bare_steps, ready
from ignite.engine import Engine, Events
from processes import write_json

from spine_ignite.config import load_config
from spine_ignite.phantom import write_phantoms
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.training.prepare import prepare as prepare_plan
from spine_ignite.training.session import attach
from spine_ignite.training.setup import Run, build

GOAL_OF_BARE, GOAL_AUGMENTATION = 0.95, 0.03


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=["unet", "ccnet", "danet", "psanet"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40, help="of each loop in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("not run: torch sees no GPU here; --device cpu with a small --size tries the script")
        write_json(options.out, {"run": False, "why": "torch sees no GPU"})
        return
    rows = []
    print(
        f"| {options.batch} slices of {options.size} x {options.size} | bare loop slices/s | whole loop slices/s ",
        end="",
    )
    print(f"| ratio (goal {GOAL_OF_BARE}) | augmentation, share of a step (goal {GOAL_AUGMENTATION}) | utilisation |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        write_phantoms(Path(name) / "data", train=8, test=0, num_slices=11)
        for model in options.models:
            row = measure(Path(name), model, options)
            rows.append(row)
            used = f"{row['utilisation']:.0f} %" if row["utilisation"] is not None else "not told"
            print(
                f"| {model} | {row['bare']:.1f} | {row['whole']:.1f} | {row['ratio']:.3f} "
                f"| {row['augmentation']:.3f} | {used} |",
                flush=True,
            )
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    write_json(options.out, {"run": True, "device": device, "rows": rows})


def prepare(folder: Path, model: str, options: argparse.Namespace) -> Run:
    """Build a run with all that watches a training, but for TensorBoard."""
    settings = {
        "data.root": folder / "data",
        "data.size": [options.size, options.size],
        "data.batch_size": options.batch,
        "data.workers": options.workers,
        "data.validation": 0,
        "model.name": model,
        "device": options.device,
        "precision": "bf16",
        "train.steps_per_epoch": options.steps,
        "train.epochs": 10 * options.rounds,
        "train.validate_every": 1000,
        "train.checkpoint_every": 1000,
        "log.tensorboard": "false",
    }
    config = load_config(None, [f"{key}={value}" for key, value in settings.items()])
    directory = RunDirectory(folder / model)
    directory.root.mkdir()
    run = build(prepare_plan(config, directory))
    attach(run, lambda line: None, show_steps=False)
    return run


def measure(folder: Path, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run both loops in turns, the first round of each as a warm-up."""
    run = prepare(folder, model, options)
    image = torch.randn(options.batch, run.description.in_channels, options.size, options.size, device=run.device)
    label = torch.randint(run.scheme.num_classes, (options.batch, options.size, options.size), device=run.device)
    batch = ready({"image": image, "label": label.to(torch.uint8)})
    bare: list[float] = []
    whole: list[float] = []
    started, whole_runs = 0.0, threading.Event()

    def begin(_engine: Engine) -> None:
        nonlocal started
        bare.append(bare_block(run, batch, options.steps))
        started = now(run)
        whole_runs.set()

    def end(engine: Engine) -> None:
        whole_runs.clear()
        whole.append(now(run) - started)
        if len(whole) > options.rounds:
            engine.terminate()

    run.trainer.add_event_handler(Events.EPOCH_STARTED, begin)
    run.trainer.add_event_handler(Events.EPOCH_COMPLETED, end)
    loader = run.data.training
    loader.start_at(0)
    with utilisation(whole_runs) as used:
        run.trainer.run(loader.loader, max_epochs=run.budget.max_epochs, epoch_length=options.steps)
    pairs = list(zip(bare, whole, strict=True))[1:]
    slices = options.steps * options.batch
    step = statistics.median(b for b, _ in pairs) / options.steps
    return {
        "model": model,
        "bare": slices / statistics.median(b for b, _ in pairs),
        "whole": slices / statistics.median(w for _, w in pairs),
        "ratio": statistics.median(b / w for b, w in pairs),
        "augmentation": augmentation_seconds(run, batch, options.steps) / step,
        "utilisation": statistics.mean(used) if used else None,
    }


def now(run: Run) -> float:
    """Seconds, when the device has done all that was asked."""
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    return time.perf_counter()


def bare_block(run: Run, batch: Batch, steps: int) -> float:
    """Seconds of some steps on one batch that is on the device."""
    started = now(run)
    for _ in bare_steps(run, repeat(batch, steps)):
        pass
    return now(run) - started


def augmentation_seconds(run: Run, batch: Batch, steps: int) -> float:
    """Mean seconds of augmenting a batch on the device; rare transforms count by how often they come."""
    assert run.step.augment is not None
    times = []
    for iteration in range(1, max(steps, 3) + 1):
        started = now(run)
        run.step.augment(batch["image"], batch["label"], iteration)
        times.append(now(run) - started)
    return statistics.mean(times)


@contextmanager
def utilisation(wanted: threading.Event) -> Iterator[list[float]]:
    """Collect what nvidia-smi says of the first GPU, in percent, each second that is wanted; nothing without it."""
    used: list[float] = []
    done = threading.Event()
    program = shutil.which("nvidia-smi")

    def watch() -> None:
        words = [str(program), "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        while not done.wait(1.0):
            answer = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
            if answer.isdecimal() and wanted.is_set():
                used.append(float(answer))

    thread = threading.Thread(target=watch)
    if program is not None and torch.cuda.is_available():
        thread.start()
    try:
        yield used
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()


if __name__ == "__main__":
    main()
