"""Attention blocks against plain implementations of their formulas, forward and backward: time and memory.

The blocks of CCNet, DANet, PSANet and EMANet at the widths of their papers' heads: 512 channels, of them 64 for queries
and keys; 64 bases. The size is that of the feature map; PSANet's attention sees half of it, as in the paper, and its
mask covers every offset. Criss-cross and position attention are compared with torch's fused kernel
(``scaled_dot_product_attention``) too.

Each form runs in a process of its own, in turns, until all had ``--repeats`` turns or ``--seconds`` are spent. The time
is the median of a turn's processor time, the memory the most that the process gained in the first. "Growth" is the
slope of their logarithms against that of the number of pixels.

    OMP_NUM_THREADS=1 python benchmarks/attention.py --out benchmarks/results/attention.json
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attention_plain as plain
import torch
from torch import Tensor, nn

from spine_ignite.machine.peak_memory import peak_memory_mib
from spine_ignite_ccnet.model import CrissCrossAttention
from spine_ignite_danet.model import ChannelAttention, PositionAttention
from spine_ignite_emanet.model import EMAttention
from spine_ignite_psanet.attention import Branch

CHANNELS = 512


@dataclass(frozen=True)
class Case:
    """A block and its other forms.

    Args:
        build: makes the block for a map of this size.
        forms: what computes it, given block and input.
        promise: growth of time and memory with the number of pixels N, by the method.
        shrink: what the input's size is divided by.
    """

    build: Callable[[int], nn.Module]
    forms: dict[str, Callable[[Any, Tensor], Tensor]]
    promise: str
    shrink: int = 1


def forms(
    plain_form: Callable[[Any, Tensor], Tensor], fused: Callable[[Any, Tensor], Tensor] | None = None
) -> dict[str, Callable[[Any, Tensor], Tensor]]:
    """Name the forms."""
    found: dict[str, Callable[[Any, Tensor], Tensor]] = {"ours": lambda block, x: block(x), "plain": plain_form}
    return found if fused is None else found | {"fused": fused}


def build_branch(direction: str) -> Callable[[int], Branch]:
    """PSANet's branch, whose mask covers a map of this size, from the features at half the resolution on."""

    def build(size: int) -> Branch:
        branch = Branch(8, CHANNELS, 2 * size - 1, direction)
        branch.forward = branch.gather  # type: ignore[method-assign]
        return branch

    return build


CASES = {
    "CCNet criss-cross": Case(
        lambda size: CrissCrossAttention(CHANNELS),
        forms(plain.criss_cross, plain.fused_criss_cross),
        "time N^1.5, memory N^1.5 for the logits and N for the maps",
    ),
    "DANet position": Case(
        lambda size: PositionAttention(CHANNELS), forms(plain.position, plain.fused), "time N^2, memory N"
    ),
    "DANet channel": Case(lambda size: ChannelAttention(), forms(plain.channel), "time N, memory N"),
    "PSANet collect": Case(
        build_branch("collect"), forms(plain.pointwise), "time N^2, memory N^2 (a logit for each pair)", shrink=2
    ),
    "PSANet distribute": Case(
        build_branch("distribute"), forms(plain.pointwise), "time N^2, memory N^2 (a logit for each pair)", shrink=2
    ),
    "EMANet": Case(lambda size: EMAttention(CHANNELS), forms(plain.expectation_maximisation), "time N, memory N"),
}


def work(pipe: Any, name: str, form: str, size: int, precision: str) -> None:
    """Run one form at one size whenever told to; send its time, and the most memory so far."""
    torch.manual_seed(0)
    case = CASES[name]
    size = (size - 1) // case.shrink + 1
    block = case.build(size)
    if hasattr(block, "gamma"):
        torch.nn.init.constant_(block.gamma, 0.7)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def turn(size: int) -> float:
        # Small numbers: softmax weights below 1e-38 would slow every form down, and not alike.
        x = (0.1 * torch.randn(1, CHANNELS, size, size)).to(dtype).requires_grad_()
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            out = case.forms[form](block, x)
        out.backward(torch.ones_like(out))
        return time.process_time() - start

    turn(9)
    before = peak_memory_mib()
    while pipe.recv():
        pipe.send((1000 * turn(size), peak_memory_mib() - before))


def compare(name: str, size: int, precision: str, repeats: int, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds and MiB of each form."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for form in CASES[name].forms:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, name, form, size, precision))
        process.start()
        there.close()
        workers[form] = (process, here)
    turns: dict[str, list[tuple[float, float]]] = {form: [] for form in workers}
    start = time.perf_counter()
    for _ in range(repeats):
        for form, (_, pipe) in workers.items():
            pipe.send(True)
            turns[form].append(pipe.recv())
        if time.perf_counter() - start > seconds:
            break
    for process, pipe in workers.values():
        pipe.send(False)
        process.join()
    return {form: {"ms": statistics.median(ms for ms, _ in found), "mib": found[0][1]} for form, found in turns.items()}


def line(name: str, size: int, found: dict[str, dict[str, float]]) -> str:
    """A row of the table."""
    cells = [name, f"{size} x {size}"]
    for unit in ("ms", "mib"):
        ours = found["ours"][unit]
        cells.append(f"{ours:.0f}")
        for form in ("plain", "fused"):
            cells += [f"{found[form][unit]:.0f}", f"{ours / found[form][unit]:.2f}"] if form in found else ["", ""]
    return f"| {' | '.join(cells)} |"


def slope(sizes: list[int], values: list[float]) -> float:
    """Least-squares slope of log value against log number of pixels."""
    x, y = [2 * math.log(size) for size in sizes], [math.log(value) for value in values]
    return statistics.linear_regression(x, y).slope


def main() -> None:
    """Run and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--sizes", type=int, nargs="+", default=[65, 97, 129], help="rows and columns of the map")
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--blocks", nargs="+", choices=list(CASES), default=list(CASES), help="these alone")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each form at most")
    parser.add_argument("--seconds", type=float, default=2, help="begin no new turn after this time")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    growth = ["| block | precision | time | memory | promised |", "| --- | --- | --- | --- | --- |"]
    for precision in options.precisions:
        print(f"\n{precision}\n")
        print("| block | map | ms | plain | ratio | fused | ratio | MiB | plain | ratio | fused | ratio |")
        print("|" + " --- |" * 12)
        for name in options.blocks:
            ours = []
            for size in options.sizes:
                found = compare(name, size, precision, options.repeats, options.seconds)
                rows.append({"block": name, "precision": precision, "size": size, **found})
                ours.append(found["ours"])
                print(line(name, size, found), flush=True)
            if len(ours) > 1:
                time_, memory = (slope(options.sizes, [one[unit] for one in ours]) for unit in ("ms", "mib"))
                growth.append(f"| {name} | {precision} | N^{time_:.2f} | N^{memory:.2f} | {CASES[name].promise} |")
    print("\n" + "\n".join(growth))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
