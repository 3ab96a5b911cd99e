"""Ten architectures on one dataset: one configuration, the same number of steps, test Dice of each.

Encoders and heads are smaller than the papers', so that a laptop can do it; the table says which. From scratch, in so
few steps, this says how fast an architecture learns from little data, not how good it can become.

    python benchmarks/architectures.py DATASET --scheme lumbar-vertebrae --out benchmarks/results/architectures.json

With ``--runs DIR`` the runs are kept; spine-ignite compare DIR/* then tells which differences are more than chance.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SMALL = {"backbone": "resnet18", "channels": 128}
MODELS: dict[str, dict[str, Any]] = {
    "unet": {"width": 24, "depth": 5},
    "pspnet": SMALL,
    "deeplabv3plus": {**SMALL, "output_stride": 8},
    "ccnet": SMALL,
    "danet": SMALL,
    "psanet": {**SMALL, "crop": 113},
    "emanet": SMALL,
    "caranet": {"backbone": "resnet18"},
    "segformer": {"variant": "b0"},
    "transunet": {"layers": 2, "width": 192, "heads": 3},
}


def settings(steps: int, spacing: float, scheme: str) -> list[str]:
    """What all architectures share."""
    return [
        f"data.scheme={scheme}",
        f"data.spacing=[{spacing}, {spacing}]",
        "data.context_slices=1",
        "data.foreground_share=0.75",
        "data.batch_size=8",
        "data.validation=0.1",
        "augment.affine.p=0.8",
        "optimizer.lr=2e-3",
        f"train.steps_per_epoch={max(steps // 4, 1)}",
        "train.epochs=4",
        "train.validate_every=4",
        "log.tensorboard=false",
    ]


def spine_ignite(*arguments: object) -> str:
    """Run the command and return what it printed."""
    words = [sys.executable, "-m", "spine_ignite", *map(str, arguments)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Train, evaluate, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset folder")
    parser.add_argument("--scheme", default="lumbar-vertebrae")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--spacing", type=float, default=3.0, help="mm, rows and columns")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--runs", type=Path, help="keep the run directories here, for spine-ignite compare")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    shared = settings(options.steps, options.spacing, options.scheme)
    rows = []
    print("| model | options | test Dice | with levels put in order | minutes |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            run = (options.runs or Path(folder)) / name
            chosen = [*shared, *(f"model.{key}={value}" for key, value in MODELS[name].items())]
            overrides = [word for setting in chosen for word in ("--set", setting)]
            start = time.perf_counter()
            spine_ignite("train", "--model", name, "--data", options.data, "--out", run, "--force", *overrides)
            minutes = (time.perf_counter() - start) / 60
            dice = []
            for postprocess in ("none", "levels"):
                judged = spine_ignite("evaluate", run, "--checkpoint", "last", "--postprocess", postprocess, "--json")
                dice.append(json.loads(judged)["means"]["dice"])
            text = ", ".join(f"{key} {value}" for key, value in MODELS[name].items())
            rows.append({"model": name, "options": MODELS[name], "dice": dice, "minutes": minutes})
            print(f"| {name} | {text} | {dice[0]:.3f} | {dice[1]:.3f} | {minutes:.1f} |", flush=True)
            if options.out:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps({"steps": options.steps, "models": rows}, indent=2))


if __name__ == "__main__":
    main()
