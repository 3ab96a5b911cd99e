"""Columns of real scans that a network has not seen: which would be accepted, and whether they are right.

Each case is predicted and named; it would be accepted if nothing speaks against it and its posterior is at least the
threshold. A column is right if each of the reference's vertebrae that was found has its name.

    python benchmarks/certificates_real.py ready T1=folder T2=folder --threshold 0.98 --out benchmarks/results/real.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import transfer
from certificates import Indices, judge

from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.volumes.volume import read_image, read_label


def main() -> None:
    """Predict all cases, write a row for each, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a network that has not seen them")
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER", help="folders with train/ and test/")
    parser.add_argument("--scheme", default="lumbar-vertebrae", help="of the references")
    parser.add_argument("--threshold", type=float, default=0.98)
    parser.add_argument("--out", type=Path, required=True, help="CSV file with a row for each")
    options = parser.parse_args()
    predictor = load_predictor(options.run, InferenceOptions(postprocess=("levels",), device="cpu"))
    rows = [
        observe(predictor, name, image, mask, load_scheme(options.scheme))
        for name, _, folder in (word.partition("=") for word in options.folders)
        for image, mask in unlike_pairs(Path(folder))
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for name in dict.fromkeys(row["folder"] for row in rows):
        mine = [row for row in rows if row["folder"] == name]
        passed = [row for row in mine if not row["asked"] and row["posterior"] >= options.threshold]
        print(
            f"{name}: {sum(row['right'] for row in mine)} of {len(mine)} right; {len(passed)} pass at a posterior of "
            f"{options.threshold:g}, {sum(not row['right'] for row in passed)} of them wrong"
        )
        for row in mine:
            if row not in passed:
                print(f"  {row['case']}: {'right' if row['right'] else 'wrong'}, {row['posterior']}, {row['reasons']}")


def unlike_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return image and mask of each case, once for each image."""
    return list({transfer.digest(image): (image, mask) for image, mask in transfer.pairs(folder, "both")}.values())


def observe(predictor: Predictor, name: str, image: Path, mask: Path, scheme: LabelScheme) -> dict[str, Any]:
    """Predict and judge one case."""
    column = predictor.segment(read_image(image)).column
    assert column is not None
    judged = judge(column.indices, reference(mask, scheme, predictor.scheme), predictor.scheme)
    told = reasons(column)
    return {
        "folder": name,
        "case": image.name.split(".")[0],
        "posterior": column.score,
        "right": bool(judged is not None and judged.is_right),
        "asked": any(reason.asks for reason in told),
        "reasons": "; ".join(reason.text for reason in told),
    }


def reference(mask: Path, scheme: LabelScheme, of: LabelScheme) -> Indices:
    """Return a mask in the classes of another scheme, by name."""
    table = np.zeros(256, np.uint8)
    for entry in scheme.classes:
        if entry.name in of.names:
            table[entry.index] = of.names.index(entry.name)
    return table[scheme.to_indices(read_label(mask).array)]


if __name__ == "__main__":
    main()
