"""Start processes of the command line at the same moments, on the same folders, again and again; look what they leave.

Each process is a fork of this one that runs the command line; since all is imported by then, the processes really meet.
When each starts is drawn at random, from all at once to one after the other. A process may succeed or be refused with a
sentence that names who is in the way. A finding is anything else: a traceback, two winners, a store or checkpoint that
is not equal to one made alone, half-written files, a lock that outlives its process.

    python benchmarks/concurrency.py --rounds 50 --out benchmarks/results/concurrency.json
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from concurrency_bench import prepare
from concurrency_scenarios import SCENARIOS

from spine_ignite.registry import load_registry

IMPORTED = ("training.run", "evaluation.judge", "inference.predict_files")  # and with them all that takes time


def main() -> None:
    """Play all scenarios and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="of each scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="some of the scenarios")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_registry()
    for module in IMPORTED:
        importlib.import_module(f"spine_ignite.{module}")
    chosen = [play for play in SCENARIOS if not options.only or play.__name__ in options.only]
    if not chosen:
        parser.error(f"--only: one of {', '.join(play.__name__ for play in SCENARIOS)}")
    rows = []
    print("| scenario | rounds | succeeded | refused with a sentence | findings |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        bench = prepare(Path(name), options.seed)
        for play in chosen:
            counts = Counter[str]()
            for number in range(options.rounds):
                folder = bench.root / "round"
                folder.mkdir()
                try:
                    counts.update(play(bench, folder))
                except Exception as finding:
                    counts["findings"] += 1
                    print(f"{play.__name__}, round {number}: {finding!r}", file=sys.stderr, flush=True)
                shutil.rmtree(folder)
            title = play.__name__.replace("_", " ")
            figures = [counts[key] for key in ("succeeded", "refused", "findings")]
            rows.append({"scenario": title, "rounds": options.rounds, **counts})
            print(f"| {title} | {options.rounds} | {' | '.join(map(str, figures))} |", flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(1 if any(row.get("findings") for row in rows) else 0)


if __name__ == "__main__":
    main()
