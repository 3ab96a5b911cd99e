"""What a spacing costs the outline: masks brought to the training grid and back, against themselves.

Each training mask is resampled as ``preprocess`` does it, and back as ``predict`` does it with a network that is
certain and never wrong. The Dice is that of all structures taken as one, the mean over cases.

    python benchmarks/label_grid.py LUMBAR --spacings 3 2 1.5 --out benchmarks/results/label_grid.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from processes import write_json

from spine_ignite.config import load_config
from spine_ignite.slices.build import build_store
from spine_ignite.volumes.volume import read_label

CERTAIN = 8.0  # logit of the right class, the others having 0


def dice(lumbar: Path, spacing: float, cache: Path) -> float:
    """Return the mean Dice of the training masks with themselves."""
    settings = [f"data.root={lumbar}", f"data.cache={cache}", f"data.spacing=[{spacing},{spacing}]"]
    store = build_store(load_config(None, [*settings, "data.scheme=lumbar-vertebrae"]).data).store
    found = []
    for case in store.split("train"):
        assert case.label is not None
        classes = torch.from_numpy(np.array(store.label(case))).long()
        logits = CERTAIN * torch.nn.functional.one_hot(classes, store.scheme.num_classes).movedim(-1, 1).float()
        back = case.grid.to_volume(case.grid.resize_logits(logits).argmax(1).to(torch.uint8).numpy()) > 0
        mask = store.scheme.to_indices(read_label(Path(case.label.path)).array) > 0
        found.append(2 * int((back & mask).sum()) / int(back.sum() + mask.sum()))
    return statistics.mean(found)


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lumbar", type=Path, help="folder with train/ and test/")
    parser.add_argument("--spacings", type=float, nargs="+", default=[3, 2, 1.5], help="mm")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rows = []
    print("| spacing mm | Dice of the masks with themselves |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as cache:
        for spacing in options.spacings:
            rows.append({"spacing": spacing, "dice": dice(options.lumbar, spacing, Path(cache))})
            print(f"| {spacing:g} | {rows[-1]['dice']:.3f} |", flush=True)
    write_json(options.out, rows)


if __name__ == "__main__":
    main()
