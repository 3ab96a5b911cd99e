"""Soft Dice plus cross-entropy against MONAI's ``DiceCELoss``: time and memory, forward and backward.

Logits of 20 classes in the two layouts that networks give (``channels last`` is what training uses by default), labels
of blocks. Times are medians over rounds in which both losses run in turn; their ratio is the median of the rounds'
ratios. Memory is what a fresh process gains at most, beyond logits and labels; one tensor of the logits' size is what
the gradient itself takes. Both losses compute the same number; the largest difference of their gradients is shown, as a
share of the largest gradient. "Partial" is ours with labels known in part: half of the rows label five classes alone,
and a tenth of the pixels count nowhere. Linux only.

    OMP_NUM_THREADS=1 python benchmarks/loss.py --out benchmarks/results/loss.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.losses import DiceCELoss
from torch import Tensor

from spine_ignite.labels import IGNORE
from spine_ignite.losses.dice import dice_ce
from spine_ignite.machine.peak_memory import peak_memory_mib

CLASSES = 20
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
Loss = Callable[[Tensor, Tensor], Tensor]


def create(name: str) -> Loss:
    """Return the loss of a name; both skip nothing and smooth alike, so that they agree."""
    if name == "ours":
        return dice_ce(CLASSES, skip_absent=False)
    monai = DiceCELoss(
        softmax=True, to_onehot_y=True, include_background=False, batch=True, smooth_nr=1e-5, smooth_dr=1e-5
    )
    return lambda logits, label: monai(logits, label[:, None].long())


def example(batch: int, size: int, layout: str) -> tuple[Tensor, Tensor]:
    """Logits ``(B, 20, size, size)`` and labels ``(B, size, size)`` in blocks of 16 pixels."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, CLASSES, size, size, generator=generator).contiguous(memory_format=FORMATS[layout])
    cells = -(-size // 16)
    label = torch.randint(0, CLASSES, (batch, cells, cells), generator=generator, dtype=torch.uint8)
    label = label.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :size, :size].contiguous()
    return logits.requires_grad_(), label


def in_part(logits: Tensor, label: Tensor) -> Loss:
    """Return our loss with an example's label where it is known in part, in place of the label that it is given."""
    labelled = torch.ones(logits.shape[:2], dtype=torch.bool)
    labelled[: len(logits) // 2, 5:] = False
    known = torch.where(labelled.gather(1, label.long().flatten(1)).view(label.shape), label, 0)
    known[torch.rand(label.shape, generator=torch.Generator().manual_seed(0)) < 0.1] = IGNORE
    loss = dice_ce(logits.shape[1])
    return lambda logits, _label: loss(logits, known, labelled)


def memory(sender: Any, name: str, batch: int, size: int, layout: str) -> None:
    """Send by how much this process grows, in MiB."""
    loss = create(name)
    logits, label = example(1, 32, layout)
    loss(logits, label).backward()
    logits, label = example(batch, size, layout)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    loss(logits, label).backward()
    sender.send(peak_memory_mib() - before)


def measure_memory(name: str, batch: int, size: int, layout: str) -> float:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=memory, args=(sender, name, batch, size, layout))
    process.start()
    sender.close()
    found: float = receiver.recv()
    process.join()
    return found


def measure(batch: int, size: int, layout: str, rounds: int) -> dict[str, Any]:
    """Time and memory of both losses at one size."""
    losses = {name: create(name) for name in ("ours", "monai")}
    logits, label = example(batch, size, layout)
    losses["partial"] = in_part(logits, label)
    times: dict[str, list[float]] = {name: [] for name in losses}
    gradients: dict[str, Tensor] = {}
    for number in range(rounds + 1):
        for name, loss in losses.items():
            logits.grad = None
            start = time.perf_counter()
            loss(logits, label).backward()
            if number:  # the first is to warm up
                times[name].append(time.perf_counter() - start)
            assert logits.grad is not None
            gradients[name] = logits.grad
    ours, theirs = gradients["ours"], gradients["monai"]
    return {
        "logits": [batch, CLASSES, size, size],
        "layout": layout,
        "ms": {name: 1000 * statistics.median(found) for name, found in times.items()},
        "times_as_fast": statistics.median(b / a for a, b in zip(times["ours"], times["monai"], strict=True)),
        "mib": {name: measure_memory(name, batch, size, layout) for name in ("ours", "monai")},
        "logits_mib": logits.nbytes / 2**20,
        "difference": float((ours - theirs).abs().max() / theirs.abs().max()),
    }


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, nargs="+", default=[8, 224, 2, 880], help="batch and size, in pairs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    if len(options.shapes) % 2:
        parser.error("--shapes takes pairs of batch and size")
    rows = []
    print(
        "| logits | layout | ours ms | partial ms | MONAI ms | times as fast | ours MiB | MiB of MONAI | logits MiB "
        "| difference |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for batch, size in zip(options.shapes[::2], options.shapes[1::2], strict=True):
        for layout in FORMATS:
            row = measure(batch, size, layout, options.rounds)
            rows.append(row)
            print(
                f"| {batch} x {CLASSES} x {size} x {size} | {layout} | {row['ms']['ours']:.0f} "
                f"| {row['ms']['partial']:.0f} | {row['ms']['monai']:.0f} | {row['times_as_fast']:.1f} "
                f"| {row['mib']['ours']:.0f} | {row['mib']['monai']:.0f} | {row['logits_mib']:.0f} "
                f"| {row['difference']:.0e} |",
                flush=True,
            )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
