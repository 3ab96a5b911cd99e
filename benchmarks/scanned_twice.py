"""How far measurements of one person differ between scans: another contrast, more noise, another grid.

Phantoms are scanned in one contrast, and once more with all else as it was: in another contrast, with noise added, or
resampled to other voxels that are turned by some degrees. A network that has not seen them labels each scan, and what
``spine-ignite measure`` finds in the same level of both is compared; so is what it finds in the first with what the
person was drawn with.

    python benchmarks/scanned_twice.py ready --persons 24 --out benchmarks/results/scanned_twice.json
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from foreign_shapes import photographed
from measurements import Difference, Figures, differences, figures, on_another_grid, phantom_truth, table
from numpy.typing import NDArray
from processes import write_json

from spine_ignite.anatomy.measure_volume import measure_volume
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.phantom import Exam, Phantom, PhantomOptions
from spine_ignite.phantom.tissues import draw_signals
from spine_ignite.volumes.volume import Volume

_SEED = 20_262  # of phantoms that no network is trained on
_NOISE = 0.05  # standard deviation of what is added, in units of the range from the 1st to the 99th percentile
Scan = tuple[NDArray[np.float32], NDArray[np.float64]]


def main() -> None:
    """Scan, predict, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--persons", type=int, default=24)
    parser.add_argument("--first", default="t2")
    parser.add_argument("--second", default="t1")
    parser.add_argument("--variety", type=float, default=0.5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    predictor = load_predictor(Path(options.run), InferenceOptions(postprocess=("levels",), device="cpu"))
    rows: dict[str, list[Difference]] = defaultdict(list)
    shifted: dict[str, int] = defaultdict(int)
    for number in range(options.persons):
        drawn = Exam(_SEED, 1, number, options=PhantomOptions(options.first, "lumbar", options.variety, "spine"))
        image, affine = photographed(drawn)
        first = measured(predictor, (image, affine))
        truth = phantom_truth(Phantom(image, image, affine, drawn.spine))  # type: ignore[arg-type]
        rows[f"{options.first}: error"] += differences(first, truth)
        for what, scan in again(drawn, (image, affine), options.second):
            second = measured(predictor, scan)
            if lowest(first) == lowest(second):
                rows[f"{what}: change"] += differences(second, first)
            else:
                shifted[what] += 1
    results: dict[str, Any] = {title: table(f"{title}, {options.persons} persons", r) for title, r in rows.items()}
    print(f"\nnot compared, since the lowest levels differ: {dict(shifted) or 'none'}")
    write_json(options.out, results | {"shifted": shifted})


def again(drawn: Exam, first: Scan, contrast: str) -> Iterator[tuple[str, Scan]]:
    """Yield the person's other scans, in the same place."""
    image, affine = first
    rng = np.random.default_rng((_SEED, drawn.num_slices, len(image)))
    low, high = np.quantile(image, [0.01, 0.99])
    yield "noise", (image + rng.normal(0, _NOISE * (high - low), image.shape).astype(np.float32), affine)
    turned, other = on_another_grid(image, affine, order=1)
    yield "another grid", (turned, other)
    drawn.signals = draw_signals(rng, contrast, drawn.options.variety)
    yield contrast, photographed(drawn)


def measured(predictor: Predictor, scan: Scan) -> Figures:
    """Label a scan and measure it."""
    values = predictor.segment(Volume(*scan, Path("phantom"))).values
    return figures(measure_volume(predictor.scheme.to_indices(values), scan[1], predictor.scheme))


def lowest(found: Figures) -> str | None:
    """Return the lowest vertebra that was measured."""
    order = ["L6", "L5", "L4", "L3", "L2", "L1"]
    return next((name for name in order if ("vertebra", name) in found), None)


if __name__ == "__main__":
    main()
