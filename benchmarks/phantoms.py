"""How many phantoms a minute one core makes, and what a slice alone costs.

    OMP_NUM_THREADS=1 python benchmarks/phantoms.py --cases 20

Plain lumbar phantoms are those of the demo; varied ones those that a network for any scan learns from. Times are of the
processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from spine_ignite.phantom import VARIED, Exam, PhantomOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
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
