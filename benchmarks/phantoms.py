"""How many phantoms a minute one core makes, and what a slice alone costs.

    OMP_NUM_THREADS=1 python benchmarks/phantoms.py --cases 20
    OMP_NUM_THREADS=1 python benchmarks/phantoms.py --sheet docs/images/phantoms.jpg

Plain lumbar phantoms are those of the demo; varied ones those that a network for any scan learns from. Times are of the
processor, so that other work on the machine does not count. The sheet shows 24 varied phantoms, a slice of each without
and with its labels: in turn near the midline and beside it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from spine_ignite.drawing.panels import gray, overlay
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import VARIED, Exam, PhantomOptions

TILE = 150, 130  # rows and columns of a panel


def write_sheet(path: Path, seed: int) -> None:
    """Write 24 varied phantoms as a JPEG, six in a row."""
    scheme = load_scheme("spine")
    sheet = Image.new("RGB", (6 * 2 * TILE[1], 4 * TILE[0]))
    for number in range(24):
        exam = Exam(seed, 0, number, options=VARIED)
        share = 0.5 if number % 2 == 0 else 0.32
        image, label = exam.slice(round(share * (exam.num_slices - 1)))
        for side, panel in enumerate((gray(image), overlay(image, scheme.to_indices(label), scheme))):
            picture = Image.fromarray(panel).convert("RGB")
            picture.thumbnail((TILE[1], TILE[0]))
            row, column = divmod(number, 6)
            corner = (2 * column + side) * TILE[1] + (TILE[1] - picture.width) // 2, row * TILE[0]
            sheet.paste(picture, corner)
    sheet.save(path, quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="write a picture of 24 phantoms here, and measure nothing")
    arguments = parser.parse_args()
    if arguments.sheet is not None:
        write_sheet(arguments.sheet, arguments.seed)
        return
    lumbar = PhantomOptions(contrast="mixed", view="lumbar", variety=1.0, scheme="spine")
    Exam(arguments.seed).slice(0)  # textures are drawn once
    for name, options in (("plain lumbar", PhantomOptions()), ("varied lumbar", lumbar), ("varied", VARIED)):
        seconds, voxels, planned, slices = [], [], [], 0
        for number in range(arguments.cases):
            start = time.process_time()
            exam = Exam(arguments.seed, 0, number, options=options)
            planned.append(time.process_time() - start)
            for index in range(exam.num_slices):
                exam.slice(index)
            seconds.append(time.process_time() - start)
            voxels.append(np.prod(exam.scan.size))
            slices += exam.num_slices
        rate = 60 * len(seconds) / sum(seconds)
        print(
            f"{name:14}  {rate:5.0f} volumes a minute of {slices / len(seconds):.0f} slices, "
            f"{np.mean(voxels) / 1e6:.2f} million voxels; {1000 * np.mean(planned):.0f} ms to plan one, "
            f"{1000 * (sum(seconds) - sum(planned)) / slices:.0f} ms a slice"
        )


if __name__ == "__main__":
    main()
