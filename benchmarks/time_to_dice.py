"""Mean 3D Dice of the test cases after so many minutes of training, each budget a run of its own.

The schedule ends with the budget, so that a short run is not the beginning of a long one. Peak memory is that of the
training's processes. The recipe is found on the training cases alone (``recipes.py``); this looks at the test cases.

    python benchmarks/time_to_dice.py LUMBAR --minutes 5 10 25 --out benchmarks/results/time_to_dice.json

``--threads 1`` with ``taskset`` keeps a run apart from what else a machine does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from processes import measure as watch
from processes import ours, write_json


def main() -> None:
    """Train and judge, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lumbar", type=Path, help="folder with train/ and test/")
    parser.add_argument("--config", type=Path, default=Path("configs/lumbar.yaml"))
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 10, 25])
    parser.add_argument("--threads", type=int, help="default: torch's choice")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="further settings a.b=c")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, after each run")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("| minutes | updates | Dice | HD95 (mm, area) | Dice without levels in order | peak memory MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for minutes in options.minutes:
        row = measure(options, minutes)
        rows.append(row)
        print(
            f"| {minutes:g} | {row['updates']} | {row['run']['dice']:.3f} | {row['run']['hd95']:.1f} "
            f"| {row['none']['dice']:.3f} | {row['memory_mb']:.0f} |",
            flush=True,
        )
        write_json(options.out, rows)


def measure(options: argparse.Namespace, minutes: float) -> dict[str, Any]:
    """Train for one budget and judge the test cases, as the configuration says and without clean-up."""
    run = options.runs / f"lumbar_{minutes:g}_minutes"
    settings = [f"train.minutes={minutes:g}", *options.settings]
    if options.threads is not None:
        settings.append(f"threads={options.threads}")
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ["train", "--config", str(options.config), "--data", str(options.lumbar), "--out", str(run), "--force"]
    watched = watch(ours(*words, *sets))
    row: dict[str, Any] = {
        "minutes": minutes,
        "updates": json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["iteration"],
        "memory_mb": watched.pss,
    }
    for name, choice in (("run", []), ("none", ["--postprocess", "none"])):
        judged = run / "judged" / name
        watch(ours("evaluate", run, *choice, "-o", judged), memory=False)
        summary = json.loads((judged / "summary.json").read_text())
        row[name] = {"dice": summary["means"]["dice"], "hd95": summary["means"]["hd95"]}
        row[name]["cases"] = {case: values["dice"] for case, values in summary["per_case"].items()}
    return row


if __name__ == "__main__":
    main()
