"""A model of time and memory of a training step against processes, image size and data, fitted to measured points.

Measured here, on the CPU, one thread a process, each figure the least of several: a training step of a small U-Net at
nine sizes of batch and image, with the memory of its process; the drawing of a batch from a slice store; an all-reduce
over gloo of two and four processes at three sizes; and, to judge the model by what it was not fitted to, steps of 1, 2
and 4 processes that share a batch of 8 rows and reduce their gradients.

    step(n) = max(load / workers, (a + b rows pixels / n) max(1, n / cores)) + c log2(n) + 2 (n - 1) / n bytes / d
    memory(n) = m + k rows pixels / n

    OMP_NUM_THREADS=1 python benchmarks/scaling_model.py --out benchmarks/results/scaling_model.json

With ``--gpu-tflops`` and ``--gigabytes`` (a second, between GPUs) it says what the same law gives for a GPU of that
sustained rate: an assumption, and no measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from processes import write_json
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spine_ignite import create_model
from spine_ignite.batches.loaders import create_training_loader
from spine_ignite.config import load_config
from spine_ignite.losses.dice import dice_ce
from spine_ignite.phantom import write_phantoms
from spine_ignite.slices.build import build_store

ROWS, SIZES = (1, 2, 4), (96, 160, 224)
SHARED_ROWS, SHARED_SIZE = 8, 160
PROCESSES = (1, 2, 4)
MEGABYTES = (1, 4, 16)
CLASSES = 20
Array = NDArray[np.float64]


def least(work: Callable[[], object], runs: int) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def network() -> nn.Module:
    """A U-Net of width 16 and depth 4."""
    torch.manual_seed(0)
    return create_model("unet", 1, CLASSES, width=16, depth=4)


class Step:
    """A training step on random rows; with several processes the gradients are reduced to their mean."""

    def __init__(self, rows: int, size: int, processes: int = 1) -> None:
        self.network, self.processes = network(), processes
        self.loss = dice_ce(CLASSES)
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        self.image = torch.randn(rows, 1, size, size)
        self.label = torch.randint(CLASSES, (rows, size, size), dtype=torch.uint8)

    def __call__(self) -> None:
        """Take it."""
        found = self.network(self.image)
        logits = found if isinstance(found, torch.Tensor) else found.logits
        self.optimizer.zero_grad()
        self.loss(logits, self.label).backward()
        if self.processes > 1:
            gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            flat /= self.processes
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        self.optimizer.step()


def child(task: dict[str, Any]) -> dict[str, Any]:
    """What a process of this script measures, alone or as one of several."""
    torch.set_num_threads(1)
    count = task.get("processes", 1)
    if count > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{task['meet']}", rank=task["rank"], world_size=count
        )
    try:
        if task["kind"] == "reduce":
            tensor = torch.ones(int(task["megabytes"] * 2**20 / 4))
            return {"seconds": least(lambda: torch.distributed.all_reduce(tensor), 10)}
        step = Step(task["rows"], task["size"], count)
        seconds = least(step, task.get("runs", 5))
        return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    finally:
        if count > 1:
            torch.distributed.destroy_process_group()


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Measure a task in fresh processes, as many as it says; of several the slowest counts."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = [task | {"rank": rank, "meet": f"{folder}/meet"} for rank in range(task.get("processes", 1))]
        command = [sys.executable, __file__, "--child"]
        started = [subprocess.Popen([*command, json.dumps(one)], stdout=subprocess.PIPE, text=True) for one in tasks]
        found = [json.loads(process.communicate()[0]) for process in started]
    return max(found, key=lambda one: one["seconds"])


def measure_loading(size: int, batch: int) -> float:
    """Seconds to draw a row of a batch from a slice store in the training process."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        write_phantoms(root, train=6, test=0)
        data = {"root": str(root), "spacing": (1.0, 1.0), "size": (size, size), "batch_size": batch}
        config = load_config({"data": data, "augment": {"enabled": False}})
        store = build_store(config.data).store
        names = [case.name for case in store.cases]
        loader = create_training_loader(store, names, config.data, config.augment, seed=0, steps_per_epoch=40)
        batches = iter(loader.loader)
        return least(lambda: next(batches), 10) / batch


def fit(columns: Sequence[Array], values: Array) -> Array:
    """Least squares of relative errors, nothing below 0."""
    from scipy.optimize import nnls

    table = np.stack(columns, axis=1) / values[:, None]
    found: Array = nnls(table, np.ones(len(values)))[0]
    return found


def measure() -> dict[str, Any]:
    """All points."""
    points: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "step": [], "reduce": [], "shared": []}
    for rows in ROWS:
        for size in SIZES:
            task = {"kind": "step", "rows": rows, "size": size}
            points["step"].append({"rows": rows, "size": size, **run(task)})
    for processes in PROCESSES[1:]:
        for megabytes in MEGABYTES:
            task = {"kind": "reduce", "processes": processes, "megabytes": megabytes}
            points["reduce"].append({"processes": processes, "megabytes": megabytes, **run(task)})
    for processes in PROCESSES:
        task = {"kind": "step", "rows": SHARED_ROWS // processes, "size": SHARED_SIZE, "processes": processes}
        points["shared"].append({"processes": processes, **run(task | {"runs": 8})})
    points["load"] = measure_loading(SHARED_SIZE, SHARED_ROWS)
    points["gradient_megabytes"] = sum(parameter.numel() for parameter in network().parameters()) * 4 / 2**20
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network()(torch.randn(1, 1, 256, 256))
    points["flops_per_pixel"] = counter.get_total_flops() / 256**2
    return points


def fit_all(points: dict[str, Any]) -> dict[str, float]:
    """The constants of the law, in seconds, MB and pixels."""
    steps, reduces = points["step"], points["reduce"]
    pixels = np.array([point["rows"] * point["size"] ** 2 for point in steps], np.float64)
    a, b = fit([np.ones_like(pixels), pixels], np.array([point["seconds"] for point in steps]))
    m, k = fit([np.ones_like(pixels), pixels], np.array([point["megabytes"] for point in steps]))
    count = np.array([point["processes"] for point in reduces], np.float64)
    moved = 2 * (count - 1) / count * np.array([point["megabytes"] for point in reduces])
    c, d = fit([np.log2(count), moved], np.array([point["seconds"] for point in reduces]))
    return {"a": a, "b": b, "m": m, "k": k, "c": c, "per_megabyte": d}


def parts(
    law: dict[str, float], n: int, pixels: float, megabytes: float, load: float, cores: float = math.inf
) -> dict[str, float]:
    """Seconds of a step of ``n`` processes for ``pixels`` pixels in all: to compute, to reduce, to load."""
    reduce = (law["c"] * math.log2(n) + law["per_megabyte"] * 2 * (n - 1) / n * megabytes) if n > 1 else 0.0
    return {"compute": (law["a"] + law["b"] * pixels / n) * max(1.0, n / cores), "reduce": reduce, "load": load}


def total(found: dict[str, float]) -> float:
    """Seconds of a step; loaders work while it computes."""
    return max(found["compute"], found["load"]) + found["reduce"]


def judge(points: dict[str, Any], law: dict[str, float]) -> list[dict[str, float]]:
    """Measured steps of several processes beside what the law says of them."""
    rows = []
    for point in points["shared"]:
        n, pixels = point["processes"], SHARED_ROWS * SHARED_SIZE**2
        said = total(parts(law, n, pixels, points["gradient_megabytes"], 0.0, points["cores"]))
        rows.append({"processes": n, "measured": point["seconds"], "model": said, "error": said / point["seconds"] - 1})
    return rows


def predict(points: dict[str, Any], options: argparse.Namespace) -> list[dict[str, Any]]:
    """What the law says for GPUs of an assumed rate: an epoch of a million slices, by the number of GPUs."""
    flops = 3 * points["flops_per_pixel"]  # forward, and twice that backward
    law = {
        "a": options.launch_ms / 1000,
        "b": flops * options.width_factor / (options.gpu_tflops * 1e12),
        "c": 2e-5,
        "per_megabyte": 2**20 / (options.gigabytes * 1e9),
    }
    rows = []
    for n in (1, 8, 16, 32, 64):
        for what, batch in (("one batch shared", options.batch), ("a batch each", options.batch * n)):
            share = batch / n
            if share < 1:
                continue
            pixels = batch * options.size**2
            load = points["load"] * (options.size / SHARED_SIZE) ** 2 * share / options.workers
            megabytes = points["gradient_megabytes"] * options.width_factor
            found = parts(law, n, pixels, megabytes, load)
            seconds = total(found)
            rows.append(
                {
                    "gpus": n, "how": what, "batch": batch, "step_ms": 1000 * seconds,
                    "hours": options.slices / batch * seconds / 3600,
                    "efficiency": total(parts(law, 1, pixels / n, megabytes, load)) / seconds,
                    "largest": max(found, key=lambda name: found[name]),
                }
            )  # fmt: skip
    return rows


def main() -> None:
    """Measure, fit, judge, predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--points", type=Path, help="take measured points from an earlier --out")
    parser.add_argument("--gpu-tflops", type=float, default=100.0, help="sustained by a GPU, assumed")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="a second between GPUs, assumed")
    parser.add_argument("--launch-ms", type=float, default=15.0, help="of a step whatever its size, assumed")
    parser.add_argument("--width-factor", type=float, default=16.0, help="FLOPs and parameters against the small U-Net")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--slices", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=8, help="loader processes of a GPU")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(json.loads(options.child))))
        return
    points = json.loads(options.points.read_text())["points"] if options.points else measure()
    law = fit_all(points)
    judged, predicted = judge(points, law), predict(points, options)
    print(f"step = {law['a'] * 1e3:.3g} ms + {law['b'] * 1e9:.3g} ns a pixel and row; memory = {law['m']:.0f} MB + "
          f"{law['k'] * 1e6:.0f} bytes a pixel and row; all-reduce = {law['c'] * 1e3:.2g} ms log2(n) + "
          f"{law['per_megabyte'] * 1e3:.2g} ms a MB; a row is drawn in {points['load'] * 1e3:.2g} ms")  # fmt: skip
    for row in judged:
        times = f"measured {row['measured'] * 1e3:.0f} ms, model {row['model'] * 1e3:.0f} ms ({row['error']:+.0%})"
        print(f"{row['processes']} processes: {times}")
    for row in predicted:
        print(f"{row['gpus']:>3} GPUs, {row['how']:<16} {row['batch']:>5} rows: {row['step_ms']:7.1f} ms, epoch "
              f"{row['hours']:6.2f} h, efficiency {row['efficiency']:4.0%}, most of it: {row['largest']}")  # fmt: skip
    write_json(options.out, {"points": points, "law": law, "judged": judged, "predicted": predicted})


if __name__ == "__main__":
    main()
