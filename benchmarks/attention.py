"""Criss-cross attention against the plain form of the same result: dense attention with all but the cross masked.

Forward and backward of one block of 64 channels at three sizes: milliseconds, and the most memory that the process
gained. The method promises memory and time of HW(H+W), the plain form takes (HW)^2.

    python benchmarks/attention.py --out benchmarks/results/attention.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spine_ignite.profiling import peak_memory_mib
from spine_ignite_ccnet.model import CrissCrossAttention

CHANNELS = 64


def plain(block: CrissCrossAttention, x: Tensor) -> Tensor:
    """Dense attention, masked."""
    height, width = x.shape[-2:]
    place = torch.arange(height * width)
    row, column = place // width, place % width
    cross = (row[:, None] == row) | (column[:, None] == column)
    query, key, value = (part(x).flatten(2) for part in (block.query, block.key, block.value))
    logits = torch.einsum("bcn,bcm->bnm", query, key).masked_fill(~cross, float("-inf"))
    context = torch.einsum("bcm,bnm->bcn", value, logits.softmax(2))
    return block.gamma * context.reshape(x.shape) + x


def measure(sender: Any, form: str, size: int, repeats: int) -> None:
    """Time and memory of one form at one size, sent through a pipe."""
    torch.manual_seed(0)
    block = CrissCrossAttention(CHANNELS)
    torch.nn.init.constant_(block.gamma, 0.7)
    run: Callable[[Tensor], Tensor] = block if form == "criss-cross" else lambda x: plain(block, x)
    run(torch.randn(1, CHANNELS, 8, 8)).sum().backward()
    before = peak_memory_mib()
    times = []
    for _ in range(repeats):
        x = torch.randn(1, CHANNELS, size, size, requires_grad=True)
        start = time.perf_counter()
        out = run(x)
        out.sum().backward()
        times.append(time.perf_counter() - start)
    sender.send((1000 * statistics.median(times), peak_memory_mib() - before))


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 96], help="rows and columns of the map")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    print("| map | criss-cross ms | plain ms | ratio | criss-cross MiB | plain MiB | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes:
        found = {}
        for form in ("criss-cross", "plain"):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=measure, args=(sender, form, size, options.repeats))
            process.start()
            sender.close()
            found[form] = receiver.recv()
            process.join()
        (time1, memory1), (time2, memory2) = found["criss-cross"], found["plain"]
        rows.append({"size": size, "ms": [time1, time2], "mib": [memory1, memory2]})
        print(
            f"| {size} x {size} | {time1:.0f} | {time2:.0f} | {time1 / time2:.3f} "
            f"| {memory1:.0f} | {memory2:.0f} | {memory1 / memory2:.3f} |",
            flush=True,
        )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
