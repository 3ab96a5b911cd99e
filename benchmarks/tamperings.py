"""Tamper with a run that was trained and judged, and see whether `spine-ignite verify` finds and names what it is.

A small network is trained and judged on small phantoms. Each trial changes one thing in a copy: a mask, an image, the
split, the seed, a key of the configuration, a weight, the record of the progress, a printed number, a label volume, two
of them swapped, a version, the manifest. A quarter are forgeries: all hashes are rewritten afterwards (forging.py), so
that only computing again, or the head of the manifest that was noted before, can tell. Clean repeats are other runs
(other seeds; by epochs, by minutes, interrupted, with clean-up) that are verified with everything computed again,
weights included. Results are kept line by line; started again, it goes on.

    python benchmarks/tamperings.py --out tamperings.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from forging import SPLIT_PARTS, forge
from ignite.engine import Engine, Events

from spine_ignite.config import RunConfig, load_config
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.evaluation.postprocess_search import learn_postprocess
from spine_ignite.phantom import write_phantoms
from spine_ignite.training.run import resume, train
from spine_ignite.verification.verify import verify

Tamper = Callable[[Path, random.Random], str]
SETTINGS = (
    "data.scheme=mrspineseg", "data.spacing=[4,4]", "data.batch_size=8", "data.validation=0.3", "model.name=unet",
    "model.width=4", "model.depth=3", "optimizer.lr=0.02", "train.steps_per_epoch=12", "precision=fp32", "threads=1",
    "log.tensorboard=false", "log.doctor=false",
)  # fmt: skip


def main() -> None:
    """Tamper, verify, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tamperings", type=int, default=200)
    parser.add_argument("--clean", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where results are kept, and gone on from")
    args = parser.parse_args()
    done = {row["trial"]: row for row in _rows(args.out)}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        head = make_run(base, args.seed, epochs=4)
        for number in range(args.tamperings):
            if f"tampering {number}" not in done:
                row = _tampering(base, head, args.seed, number)
                done[row["trial"]] = _keep(row, args.out)
        for number in range(args.clean):
            if f"clean {number}" not in done:
                row = _clean(Path(folder), number)
                done[row["trial"]] = _keep(row, args.out)
    sys.exit(_tell(list(done.values())))


def make_run(root: Path, seed: int, epochs: int) -> str:
    """Make phantoms, train and judge; return the head of the manifest."""
    _write_dataset(root / "dataset", seed)
    train(config_of(root, seed, f"train.epochs={epochs}"), root / "run", echo=_silent)
    evaluate(root / "run")
    return verify(root / "run", quick=True).head


def config_of(root: Path, seed: int, *overrides: str) -> RunConfig:
    """The configuration of a small run."""
    return load_config(None, [f"data.root={root / 'dataset'}", f"seed={seed}", *SETTINGS, *overrides])


def mask(root: Path, rng: random.Random) -> str:
    """Give a block of a mask another label."""
    case = rng.choice(_cases(root))
    path = root / "dataset" / case[0] / "label" / f"mask_{case[1].lower()}.nii.gz"
    _edit(path, rng, lambda block: np.where(block > 0, 0, 2))
    return f"the mask of {case[1]}"


def image(root: Path, rng: random.Random) -> str:
    """Brighten a block of an image."""
    case = rng.choice(_cases(root))
    _edit(root / "dataset" / case[0] / "source" / f"{case[1]}.nii.gz", rng, lambda block: block + 150)
    return f"the image of {case[1]}"


def split(root: Path, rng: random.Random) -> str:
    """Let a validation case and a training case change places."""
    path = root / "run" / "split.json"
    record = json.loads(path.read_text())
    one, two = rng.randrange(len(record["training"])), rng.randrange(len(record["validation"]))
    record["training"][one], record["validation"][two] = record["validation"][two], record["training"][one]
    path.write_text(json.dumps(record, indent=1) + "\n")
    return "split.json"


def seed(root: Path, rng: random.Random) -> str:
    """Write another seed into the configuration, and into the split."""
    other = rng.randrange(1000, 9999)
    _set(root / "run" / "config.yaml", rng, {"seed": other})
    path = root / "run" / "split.json"
    record = json.loads(path.read_text())
    record["origin"]["seed"] = other
    path.write_text(json.dumps(record, indent=1) + "\n")
    return "config.yaml"


def config(root: Path, rng: random.Random) -> str:
    """Write another value of a key."""
    section, key, value = rng.choice(
        [("optimizer", "lr", 0.003), ("train", "epochs", 9), ("augment", "enabled", False), ("data", "batch_size", 16)]
    )
    _set(root / "run" / "config.yaml", rng, {section: {key: value}})
    return "config.yaml"


def weight(root: Path, rng: random.Random) -> str:
    """Move one weight of the best network."""
    path = root / "run" / "checkpoints" / "best.pt"
    saved = torch.load(path, weights_only=True)
    names = [name for name, value in saved["model"].items() if value.is_floating_point()]
    tensor = saved["model"][rng.choice(names)]
    tensor[tuple(rng.randrange(n) for n in tensor.shape)] += rng.choice([-1, 1]) * rng.uniform(0.1, 2)
    torch.save(saved, path)
    return "checkpoints/best.pt"


def progress(root: Path, rng: random.Random) -> str:
    """Change the share of the training that a step is said to have had."""
    path = root / "run" / "checkpoints" / "last.pt"
    saved = torch.load(path, weights_only=True)
    saved["budget"]["shares"][rng.randrange(1, len(saved["budget"]["shares"]))] = 0.99
    torch.save(saved, path)
    return "checkpoints/last.pt"


def number(root: Path, rng: random.Random) -> str:
    """Change one printed figure of a table by a little."""
    name = rng.choice(["cases.csv", "classes.csv", "confusion.csv", "summary.json"])
    path = root / "run" / "evaluation" / "test" / name
    if name == "summary.json":
        record = json.loads(path.read_text())
        measure = rng.choice([key for key, value in record["means"].items() if value is not None])
        record["means"][measure] += 0.01
        path.write_text(json.dumps(record, indent=2) + "\n")
        return f"evaluation/test/{name}"
    lines = path.read_text().splitlines()
    row = rng.randrange(1, len(lines))
    cells = lines[row].split(",")
    places = [n for n, cell in enumerate(cells) if cell.replace(".", "", 1).isdigit()]
    place = rng.choice(places)
    cells[place] = str(int(cells[place]) + 1) if cells[place].isdigit() else repr(float(cells[place]) * 1.01 + 0.001)
    lines[row] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return f"evaluation/test/{name}"


def figure(root: Path, rng: random.Random) -> str:
    """Change a figure of an epoch."""
    path = root / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rng.choice(rows)[rng.choice(["validation/dice", "train/loss"])] += 0.05
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "metrics.jsonl"


def prediction(root: Path, rng: random.Random) -> str:
    """Correct a block of a label volume by hand."""
    path = rng.choice(sorted((root / "run" / "predictions" / "test").glob("*.nii.gz")))
    _edit(path, rng, lambda block: np.where(block > 0, 0, 3))
    return f"predictions/test/{path.name}"


def swapped(root: Path, _rng: random.Random) -> str:
    """Swap two label volumes."""
    one, two = sorted((root / "run" / "predictions" / "test").glob("*.nii.gz"))[:2]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return f"predictions/test/{one.name}"


def version(root: Path, rng: random.Random) -> str:
    """Say that another version of the plugin, or of torch, was there."""
    path = root / "run" / "environment.json"
    record = json.loads(path.read_text())
    if rng.random() < 0.5:
        record["versions"]["torch"] = "2.0.1"
    else:
        old, new = record["plugin"], f"{record['plugin'].rpartition(' ')[0]} 7.{rng.randrange(9)}"
        record["plugin"] = new
        record["components"] = {key: new if text == old else text for key, text in record["components"].items()}
    path.write_text(json.dumps(record, indent=2) + "\n")
    return "environment.json"


def line(root: Path, rng: random.Random) -> str:
    """Change a line of the manifest."""
    path = root / "run" / "manifest.jsonl"
    lines = path.read_text().splitlines()
    entry = json.loads(lines[0])
    entry["machine"]["processor"] = f"another one {rng.randrange(99)}"
    path.write_text("\n".join([json.dumps(entry), *lines[1:]]) + "\n")
    return "manifest.jsonl"


KINDS: tuple[Tamper, ...] = (
    mask, image, split, seed, config, weight, progress, number, figure, prediction, swapped, version, line,
)  # fmt: skip
WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hashes and records", {"quick": True}), ("computing again", {}), ("training again", {"again": ["."]}),
)  # fmt: skip


def _tampering(base: Path, head: str, seed_: int, count: int) -> dict[str, Any]:
    rng = random.Random(f"{seed_} {count}")
    tamper, forged = KINDS[(count // 4 if count % 4 == 3 else count) % len(KINDS)], count % 4 == 3
    row: dict[str, Any] = {"trial": f"tampering {count}", "kind": tamper.__name__, "forged": forged}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "copy"
        shutil.copytree(base, root)
        named = tamper(root, rng)
        if forged:
            forge(root)
        found: dict[str, Any] = {"found_by": None, "named": False, "said": []}
        for how, options in WAYS:
            wrong = verify(root / "run", data=root / "dataset", **options).findings.wrong
            if wrong:
                fits = forged or any(named in sentence for sentence in wrong)
                found = {"found_by": how, "named": fits, "said": wrong[:3]}
                break
        other_head = bool(verify(root / "run", data=root / "dataset", quick=True, expect=head).findings.wrong)
    return {**row, **found, "found_by_head": other_head}


def _clean(folder: Path, count: int) -> dict[str, Any]:
    """Train, judge and verify a run in one of several ways; nothing may be found."""
    root = folder / f"clean{count}"
    shutil.copytree(folder / "base" / "dataset", root / "dataset")
    way = ("epochs", "minutes", "interrupted", "clean-up", "longer")[count % 5]
    length = "train.minutes=0.04" if way == "minutes" else "train.epochs=3"
    handlers = [_interrupt] if way == "interrupted" else []
    train(config_of(root, count, length, "train.ema=0.9"), root / "run", echo=_silent, handlers=handlers)
    if way == "interrupted":
        resume(root / "run", echo=_silent)
    if way == "longer":
        resume(root / "run", ["train.epochs=5"], echo=_silent)
    evaluate(root / "run")
    if way == "clean-up":
        evaluate(root / "run", split="validation")
        learn_postprocess(root / "run")
        evaluate(root / "run")
    result = verify(root / "run", again=["."])
    shutil.rmtree(root)
    found = result.findings
    return {"trial": f"clean {count}", "kind": way, "alarm": not found.fits, "said": [*found.wrong, *found.unchecked]}


def _write_dataset(root: Path, seed_: int) -> None:
    """Phantoms of which every fourth voxel of a slice is kept."""
    write_phantoms(root, train=4, test=2, seed=seed_, num_slices=5)
    for path in root.rglob("*.nii.gz"):
        volume = nib.load(path)
        thinned = volume.slicer[::4, ::4] if volume.shape[2] == 5 else volume.slicer[:, ::4, ::4]
        nib.save(thinned, path)


def _interrupt(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=17), lambda: os.kill(os.getpid(), signal.SIGTERM))


def _cases(root: Path) -> list[tuple[str, str]]:
    record = json.loads((root / "run" / "split.json").read_text())
    return [("test" if part == "test" else "train", case["name"]) for part in SPLIT_PARTS for case in record[part]]


def _edit(path: Path, rng: random.Random, change: Callable[[Any], Any]) -> None:
    """Change a block of voxels around one that is not background."""
    volume = nib.load(path)
    array = np.asanyarray(volume.dataobj).copy()
    inside = np.argwhere(array > np.median(array))
    centre = inside[rng.randrange(len(inside))] if len(inside) else np.array(array.shape) // 2
    block = tuple(slice(max(0, n - 3), n + 4) for n in centre)
    array[block] = change(array[block])
    nib.save(type(volume)(array, volume.affine, volume.header), path)


def _set(path: Path, _rng: random.Random, values: dict[str, Any]) -> None:
    import yaml

    record = yaml.safe_load(path.read_text())
    for key, value in values.items():
        record[key] = {**record.get(key, {}), **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(record, sort_keys=False))


def _rows(out: Path | None) -> list[dict[str, Any]]:
    return [json.loads(text) for text in out.read_text().splitlines()] if out is not None and out.is_file() else []


def _keep(row: dict[str, Any], out: Path | None) -> dict[str, Any]:
    if out is not None:
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return row


def _silent(_line: str) -> None:
    pass


def _is_found(row: dict[str, Any]) -> bool:
    """Found and named, or of a forgery that nothing can tell but the head, found by that."""
    return bool(row["named"] if row["found_by"] is not None else row["forged"] and row["found_by_head"])


def _tell(rows: list[dict[str, Any]]) -> int:
    """Print a Markdown table, and return the exit code."""
    trials, clean = ([r for r in rows if r["trial"].startswith(what)] for what in ("tampering", "clean"))
    ways = (*(how for how, _ in WAYS), None)
    print("| what | trials | " + " | ".join(way or "by its head alone" for way in ways) + " | not found |")
    print("| --- " * (len(ways) + 3) + "|")
    for forged in (False, True):
        for kind in dict.fromkeys(r["kind"] for r in trials):
            some = [r for r in trials if r["kind"] == kind and r["forged"] == forged]
            if some:
                missed = [r for r in some if not _is_found(r)]
                found = Counter(r["found_by"] for r in some if _is_found(r))
                cells = " | ".join(str(n) for n in (*(found[way] for way in ways), len(missed)))
                print(f"| {kind}{', forged' if forged else ''} | {len(some)} | {cells} |")
    missed = [r for r in trials if not _is_found(r)]
    alarms = [r for r in clean if r["alarm"]]
    print(f"{len(trials) - len(missed)} of {len(trials)} tamperings found and named, {len(missed)} not")
    forgeries = [r for r in trials if r["forged"]]
    print(f"{sum(r['found_by_head'] for r in forgeries)} of {len(forgeries)} forgeries have another head")
    print(f"{len(clean) - len(alarms)} of {len(clean)} clean repeats without an alarm")
    for row in (*missed, *alarms):
        print(json.dumps(row))
    return 1 if missed or alarms else 0


if __name__ == "__main__":
    main()
