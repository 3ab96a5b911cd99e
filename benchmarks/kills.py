"""SIGKILL a training again and again, in chosen phases; resume it each time; compare the end with an unbroken run's.

A small run with augmentation, loader workers, averaged weights, accumulated gradients and float32. The child marks in
shared memory what it is doing (preprocessing, step, validation, checkpoint), so that each kill can be aimed, and the
table says where it fell. Every tensor of the last checkpoint (weights, averages, optimizer) must be equal, bit for bit.

    python benchmarks/kills.py --kills 100 --out benchmarks/results/kills.json
"""

from __future__ import annotations

import argparse
import functools
import json
import mmap
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from spine_ignite.phantom import write_phantoms

PHASES = ("start", "preprocessing", "step", "validation", "checkpoint")
SETTINGS = (
    "data.spacing=[4,4]",
    "data.workers=1",
    "data.batch_size=4",
    "data.validation=0.3",
    "model.width=4",
    "model.depth=4",
    "augment.affine.p=1",
    "train.accumulate=2",
    "train.ema=0.9",
    "train.steps_per_epoch=4",
    "precision=fp32",
    "threads=1",
    "log.tensorboard=false",
)
PATIENCE = 60  # seconds to wait for a phase


def main() -> None:
    """Kill, resume, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        killed = kill_all(Path(folder), options.kills, random.Random(options.seed))
        differences = differing(Path(folder) / "whole", Path(folder) / "killed")
    print("| killed in | times |")
    print("| --- | --- |")
    for phase, times in sorted(killed.items()):
        print(f"| {phase} | {times} |")
    print(f"\nTensors and numbers of last.pt and best.pt that differ from the unbroken run's: {len(differences)}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"killed": killed, "differences": differences}, indent=2) + "\n")
    sys.exit(1 if differences else 0)


def kill_all(folder: Path, kills: int, rng: random.Random) -> Counter[str]:
    """Train one run unbroken and one with kills; return where these fell."""
    write_phantoms(folder / "data", 5, 0, num_slices=5)
    epochs = max(2 * kills, 20)
    mark = folder / "mark"
    mark.write_bytes(b"\0")
    new = [*train(folder, "whole", epochs)]
    subprocess.run(command(mark, new), check=True, stdout=subprocess.DEVNULL)
    killed = Counter[str]()
    run = folder / "killed"
    with mark.open("r+b") as file, mmap.mmap(file.fileno(), 1) as shared:
        while sum(killed.values()) < kills:
            started = (run / "config.yaml").exists()
            preprocessing = not started and sum(killed.values()) < kills / 5
            aimed = "preprocessing" if preprocessing else rng.choice(PHASES[2:])
            if preprocessing and rng.random() < 0.5:
                shutil.rmtree(folder / "cache-killed", ignore_errors=True)  # else it goes on with what is there
            arguments = ["train", "--resume", str(run)] if started else train(folder, "killed", epochs)
            shared[0] = 0
            process = subprocess.Popen(command(mark, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_for(process, shared, PHASES.index(aimed), rng)
            phase = PHASES[shared[0]]
            process.kill()
            _, errors = process.communicate()
            if process.returncode == 0:
                sys.exit(f"the run came to its end after {sum(killed.values())} kills; make it longer")
            if process.returncode > 0:
                sys.exit(f"a resume failed: {errors.decode()}")
            killed[phase] += 1
            print(f"{sum(killed.values())} of {kills}: {phase}", file=sys.stderr, flush=True)
    if (run / "config.yaml").exists():
        last = subprocess.run(command(mark, ["train", "--resume", str(run)]), capture_output=True, check=False)
        if last.returncode and b"has come to its end" not in last.stderr:
            sys.exit(f"the last resume failed: {last.stderr.decode()}")
    return killed


def train(folder: Path, name: str, epochs: int) -> list[str]:
    """Arguments of a new run with a cache of its own, so that each preprocesses."""
    settings = (*SETTINGS, f"train.epochs={epochs}", f"data.cache={folder / f'cache-{name}'}")
    sets = [word for setting in settings for word in ("--set", setting)]
    return ["train", "--model", "unet", "--data", str(folder / "data"), "--out", str(folder / name), *sets]


def command(mark: Path, arguments: list[str]) -> list[str]:
    """Words that start the child."""
    return [sys.executable, __file__, "--child", str(mark), *arguments]


def wait_for(process: subprocess.Popen[bytes], shared: mmap.mmap, phase: int, rng: random.Random) -> None:
    """Return at a random moment after the process has entered the phase, or when it has ended."""
    end = time.monotonic() + PATIENCE
    converts = PHASES[phase] == "preprocessing"  # case follows case, without a step between them
    passed = 0 if converts else rng.randrange(4)  # the first time or a later one
    inside = False
    while process.poll() is None and time.monotonic() < end:
        now = shared[0] == phase
        passed -= now and not inside
        inside = now
        if converts and shared[0] > phase:  # all had been converted before
            return
        if now and passed < 0:
            time.sleep(rng.random() * (0.15 if converts else 0.01))
            return
        time.sleep(0.0005)


def child(mark: Path, arguments: list[str]) -> int:
    """Run the command line, with a mark for each phase."""
    from spine_ignite import cli
    from spine_ignite.slices import build
    from spine_ignite.training import step as trainer
    from spine_ignite.training.handlers import keep_best, keep_last, validation

    with mark.open("r+b") as file, mmap.mmap(file.fileno(), 1) as shared:

        def marked(function: Callable[..., Any], phase: str) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                before, shared[0] = shared[0], PHASES.index(phase)
                try:
                    return function(*args, **kwargs)
                finally:
                    shared[0] = before

            return wrapper

        for owner, name, phase in (
            (build, "_convert", "preprocessing"),
            (trainer.UpdateStep, "__call__", "step"),
            (validation.Validation, "_validate", "validation"),
            (keep_best, "save_checkpoint", "checkpoint"),
            (keep_last, "save_checkpoint", "checkpoint"),
        ):
            setattr(owner, name, marked(getattr(owner, name), phase))
        return cli.run(arguments)


def differing(first: Path, second: Path) -> list[str]:
    """Names of everything in the checkpoints of two runs that is not equal; times and what a resume may change may."""
    free = ("budget", "config/data/cache", "config/data/workers")
    names = []
    for name in ("last.pt", "best.pt"):
        one, two = (dict(leaves(torch.load(run / "checkpoints" / name, weights_only=True))) for run in (first, second))
        for key in sorted(one.keys() | two.keys()):
            if not key.startswith(free) and not same(one.get(key), two.get(key)):
                names.append(f"{name}: {key}")
    return names


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in nested dictionaries and lists, with its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    else:
        for key, item in items:
            yield from leaves(item, f"{path}/{key}" if path else str(key))


def same(one: Any, two: Any) -> bool:
    """Equal, bit for bit."""
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return torch.equal(one, two)
    return bool(one == two)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(Path(sys.argv[2]), sys.argv[3:]))
    main()
