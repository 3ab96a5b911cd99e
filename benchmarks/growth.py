"""How time grows with cases, slices per case, image size and classes, and the law that it follows.

- Cases: opening the manifest, finding that a store is up to date (which looks at every file), planning the split and
  the loaders, and drawing an epoch's batches. The cases are simulated (``simulated_cases.py``: hard links to five
  phantoms).
- Slices: preprocessing a case, from its files to the store, and predicting it with a small UNet.
- Pixels of a slice: preprocessing, augmenting and a training step of the same UNet.
- Classes: the loss with its gradient, the confusion matrix with the metrics of an epoch, a training step, and all
  measures of a case in 3D, evaluated on blocks.

Each figure is the least of several runs, since other work on the machine can only add to it. The exponent is the slope
of a line through the logarithms of the upper three points: 1 is linear; below, a part of the cost stays the same.

    OMP_NUM_THREADS=1 python benchmarks/growth.py --out benchmarks/results/growth.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prediction_memory import write_run
from processes import write_json
from simulated_cases import simulate

from spine_ignite import InferenceOptions, create_model
from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.batches.loaders import create_training_loader, create_validation_loader
from spine_ignite.batches.sampling import TrainingStream
from spine_ignite.config import AugmentConfig, load_config
from spine_ignite.datasets.hold_out import hold_out
from spine_ignite.evaluation.case_results import evaluate_case
from spine_ignite.inference.members import load_members
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.inference.predictor import Predictor
from spine_ignite.labels import LabelScheme
from spine_ignite.losses.dice import dice_ce
from spine_ignite.machine.precision import choose_precision
from spine_ignite.phantom import make_phantom, write_phantoms
from spine_ignite.slices.build import build_store
from spine_ignite.slices.normalise import prepare_image
from spine_ignite.slices.store import open_store
from spine_ignite.training.metrics import SegmentationConfusion, summarise
from spine_ignite.volumes.volume import Volume

CPU = torch.device("cpu")
Works = dict[str, Callable[[], object]]


def least(work: Callable[[], object], enough: float = 1.0) -> float:
    """Seconds of the fastest of 2 to 20 runs; no more are begun when ``enough`` seconds have passed."""
    times: list[float] = []
    while len(times) < 2 or (sum(times) < enough and len(times) < 20):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def of_cases(folder: Path, cases: int) -> Works:
    """Work on a store as a whole."""
    settings = ["data.batch_size=8", "data.foreground_share=0.75"]
    config = simulate(folder, cases, num_slices=5, overrides=settings)
    store = open_store(folder / "store")
    starts = np.cumsum([0, *(case.num_slices for case in store.cases)])
    foreground = [int(start) + i for start, case in zip(starts[:-1], store.cases, strict=True) for i in case.foreground]
    slices = int(starts[-1])
    stream = TrainingStream(slices, 8, slices // 8, 0, foreground, 0.75)
    names = [case.name for case in store.cases]

    def plan() -> None:
        validation = hold_out(names, 0, validation=0.2, folds=5, fold=None)
        create_training_loader(
            store, [name for name in names if name not in validation], config.data, config.augment, seed=config.seed
        )
        create_validation_loader(store, list(validation), config.data, seed=config.seed)

    return {
        "open the manifest": lambda: open_store(folder / "store"),
        "find the store up to date": lambda: build_store(config.data),
        "plan": plan,
        "draw an epoch's batches": lambda: [stream.batch(step) for step in range(slices // 8)],
    }


def of_slices(folder: Path, slices: int) -> Works:
    """Work on a case of so many slices."""
    write_phantoms(folder / "data", 1, 0, num_slices=slices)
    members = load_members(find_sources(write_run(folder / "run", 8)), InferenceOptions(device="cpu"), CPU)
    predictor = Predictor(members, device=CPU, precision=choose_precision("fp32", CPU))
    phantom = make_phantom(0, 0, 0, slices)
    volume = Volume(phantom.image.astype(np.float32), phantom.affine, folder / "image.nii.gz")
    built = [0]

    def preprocess() -> None:
        built[0] += 1  # a store of its own, since one that is there is used again
        build_store(load_config(None, [f"data.root={folder / 'data'}", f"data.cache={folder / str(built[0])}"]).data)

    return {"preprocess": preprocess, "predict": lambda: predictor.segment(volume)}


def training_step(size: int, classes: int) -> Callable[[], object]:
    """Forward, loss, backward and update of a small UNet on two slices."""
    torch.manual_seed(0)
    network = create_model("unet", 1, classes, width=8, depth=5).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    image = torch.randn(2, 1, size, size).contiguous(memory_format=torch.channels_last)
    label = torch.randint(0, classes, (2, size, size), dtype=torch.uint8)
    loss = dice_ce(classes)

    def step() -> None:
        loss(network(image), label).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def of_pixels(_folder: Path, pixels: int) -> Works:
    """Work on slices of so many pixels."""
    size = round(pixels**0.5)
    augment = BatchAugmenter(AugmentConfig(), seed=0)
    image, label = torch.randn(2, 1, size, size), torch.zeros(2, size, size, dtype=torch.uint8)
    array = np.random.default_rng(0).random((4, size, size), np.float32)
    volume = Volume(array, np.diag([4.0, 1.0, 1.0, 1.0]), Path("image.nii.gz"))
    return {
        "preprocess": lambda: prepare_image(volume, (1.0, 1.0), (0.5, 99.5)),
        # The same sixteen iterations at each size: which transforms there are is drawn by the iteration.
        "augment": lambda: [augment(image, label, iteration) for iteration in range(16)],
        "step": training_step(size, 20),
    }


def of_classes(_folder: Path, classes: int) -> Works:
    """Work on so many classes."""
    scheme = blocks_scheme(classes)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 224, 224, generator=generator).contiguous(memory_format=torch.channels_last)
    logits.requires_grad_()
    label = torch.randint(0, classes, (2, 224, 224), generator=generator, dtype=torch.uint8)
    loss = dice_ce(classes)
    # A case in blocks of 16 pixels, whose classes take turns, and a prediction that is a pixel beside.
    cells = np.arange(14 * 14).reshape(14, 14) % classes
    plane = np.kron(cells, np.ones((16, 16), int)).astype(np.uint8)
    reference = np.repeat(plane[None], 8, axis=0)
    prediction = np.roll(reference, 1, axis=1)

    def metrics() -> None:
        confusion = SegmentationConfusion(classes)
        confusion.update((label.flip(1), label))
        summarise(confusion.compute(), scheme.names)

    return {
        "loss": lambda: loss(logits, label).backward(),
        "metrics": metrics,
        "step": training_step(224, classes),
        "evaluate": lambda: evaluate_case("case", reference, prediction, (4.0, 1.0, 1.0), scheme),
    }


def blocks_scheme(classes: int) -> LabelScheme:
    entries: list[dict[str, Any]] = [{"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]}]
    entries += [
        {"value": n, "name": f"structure {n}", "kind": "vertebra", "color": [n, n, n]} for n in range(1, classes)
    ]
    return LabelScheme.from_dict({"name": "blocks", "classes": entries})


WORKS: dict[str, Callable[[Path, int], Works]] = {
    "cases": of_cases,
    "slices": of_slices,
    "pixels": of_pixels,
    "classes": of_classes,
}


def exponent(counts: list[int], seconds: list[float]) -> float:
    """Slope of the logarithms over the upper three points."""
    if len(counts) < 2:
        return float("nan")
    return float(np.polyfit(np.log(counts[-3:]), np.log(np.maximum(seconds[-3:], 1e-9)), 1)[0])


def law(power: float, what: str) -> str:
    """Say an exponent in words."""
    for limit, words in (
        (0.15, "does not grow with"),
        (0.85, "less than linear in"),
        (1.2, "linear in"),
        (1.7, "more than linear in"),
        (2.2, "quadratic in"),
    ):
        if power < limit:
            return f"{words} {what}"
    return f"more than quadratic in {what}"


def measure(what: str, counts: list[int]) -> dict[str, Any]:
    """Time every work at every count."""
    seconds: dict[str, list[float]] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            found = {title: least(work) for title, work in WORKS[what](Path(name), count).items()}
        for title, value in found.items():
            seconds.setdefault(title, []).append(value)
    return {"counts": counts, "seconds": seconds, "exponents": {t: exponent(counts, s) for t, s in seconds.items()}}


def report(what: str, found: dict[str, Any]) -> None:
    """Print a Markdown table."""
    counts = [f"{round(n**0.5)}²" if what == "pixels" else f"{n:,}" for n in found["counts"]]
    print(f"\n| ms by {what} | {' | '.join(counts)} | exponent | law |")
    print("| --- " * (len(counts) + 3) + "|")
    for title, seconds in found["seconds"].items():
        power = found["exponents"][title]
        times = " | ".join(f"{1000 * value:.3g}" for value in seconds)
        print(f"| {title} | {times} | {power:.2f} | {law(power, what)} |", flush=True)


def main() -> None:
    """Measure, print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="*", default=[10, 100, 1000, 10000], help="multiples of 5")
    parser.add_argument("--slices", type=int, nargs="*", default=[5, 10, 20, 40])
    parser.add_argument("--sizes", type=int, nargs="*", default=[112, 224, 448, 880], help="side of a slice")
    parser.add_argument("--classes", type=int, nargs="*", default=[2, 5, 10, 20, 40])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    tables: dict[str, dict[str, Any]] = {}
    for what, counts in (
        ("cases", options.cases),
        ("slices", options.slices),
        ("pixels", [size * size for size in options.sizes]),
        ("classes", options.classes),
    ):
        if counts:
            tables[what] = measure(what, counts)
            report(what, tables[what])
    write_json(options.out, {"threads": torch.get_num_threads(), "tables": tables})


if __name__ == "__main__":
    main()
