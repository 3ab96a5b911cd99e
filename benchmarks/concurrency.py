"""Start processes of the command line at the same moments, on the same folders, again and again; look what they leave.

Each process is a fork of this one that runs the command line; since all is imported by then, the processes really meet.
When each starts is drawn at random, from all at once to one after the other. A process may succeed or be refused with a
sentence that names who is in the way. A finding is anything else: a traceback, two winners, a store or checkpoint that
is not equal to one made alone, half-written files, a lock that outlives its process.

    python benchmarks/concurrency.py --rounds 50 --out benchmarks/results/concurrency.json
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import torch
from kills import differing

from spine_ignite import cli
from spine_ignite.data.phantom import write_phantoms
from spine_ignite.data.slices import open_store
from spine_ignite.data.volumes import read_label
from spine_ignite.registry import load_registry

SETTINGS = (
    "data.spacing=[4,4]",
    "data.batch_size=4",
    "data.validation=0.3",
    "model.width=4",
    "model.depth=2",
    "train.steps_per_epoch=2",
    "precision=fp32",
    "threads=1",
    "log.tensorboard=false",
)
IMPORTED = ("engines.run", "evaluation.judge", "inference.files")  # and with them all that takes time
IN_THE_WAY = re.compile(
    r"is in use: another process \(process (\d+)\) is (preprocessing it|training in it); wait for it"
)
OTHER_REFUSALS = (
    "holds a run already; resume it with",
    "has come to its end",
    "was replaced while it was read",
    "is not a run directory",
    "has the run reached its first checkpoint",
)


class Finding(Exception):  # noqa: N818 - it is what the script looks for
    """Something that must not be."""


@dataclass
class Process:
    """A process of the command line, and what became of it."""

    number: int
    log: Path
    code: int | None = None

    @property
    def text(self) -> str:
        """What it wrote to both streams."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.code is None:
            os.kill(self.number, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])


@dataclass
class Bench:
    """Folders that all rounds share, and what these are compared with, made alone when first asked for."""

    root: Path
    rng: random.Random
    seconds: float = 1.0  # that a preprocessing takes alone

    @property
    def data(self) -> Path:
        """The dataset."""
        return self.root / "data"

    @property
    def image(self) -> Path:
        """The image that is exchanged."""
        return self.data / "train" / "source" / "Case1.nii.gz"

    def preprocess(self, cache: Path, *more: str) -> list[str]:
        """Words of a preprocessing."""
        return ["preprocess", str(self.data), *_sets(*SETTINGS, f"data.cache={cache}", *more)]

    def train(self, cache: Path, out: Path, epochs: int, *more: str) -> list[str]:
        """Words of a training."""
        settings = _sets(*SETTINGS, f"data.cache={cache}", f"train.epochs={epochs}", *more)
        return ["train", "--model", "unet", "--data", str(self.data), "--out", str(out), *settings]

    def start(self, folder: Path, commands: Sequence[list[str]], delays: Sequence[float]) -> list[Process]:
        """Start all at one moment, but for the delays."""
        barrier, opener = os.pipe()
        started = []
        for place, (words, delay) in enumerate(zip(commands, delays, strict=True)):
            log = folder / f"log-{place}-{len(list(folder.glob('log-*')))}.txt"
            log.touch()
            number = os.fork()
            if number == 0:
                os.close(opener)
                _become(words, delay, barrier, log)
            started.append(Process(number, log))
        os.close(barrier)
        os.close(opener)
        return started

    def run(self, folder: Path, *commands: list[str], spread: float = 0.0) -> list[Process]:
        """Start processes within ``spread`` seconds and wait for all."""
        spread *= self.rng.random()  # some rounds are closer than others
        processes = self.start(folder, commands, [self.rng.random() * spread for _ in commands])
        for process in processes:
            process.wait()
        return processes

    def alone(self, folder: Path, words: list[str]) -> None:
        """Run a process that nothing is in the way of."""
        (process,) = self.run(folder, words)
        if process.code != 0:
            raise Finding(f"alone, {' '.join(words)} ended with {process.code}: {process.text[-500:]}")

    def trained(self, epochs: int) -> Path:
        """A run that was trained alone."""
        run = self.root / f"run-{epochs}"
        if not run.exists():
            self.alone(self.root, self.train(self.root / "cache", run, epochs))
        return run

    def resumed(self) -> Path:
        """A run of one epoch that was resumed alone, for another."""
        run = self.root / "run-resumed"
        if not run.exists():
            shutil.copytree(self.trained(1), run)
            self.alone(self.root, ["train", "--resume", str(run), *_sets("train.epochs=2")])
        return run

    def of_contents(self) -> dict[str, Path]:
        """Runs trained alone on each content of the exchanged image, by the fingerprints of their stores."""
        for name in ("two", "one"):
            run = self.root / f"run-{name}"
            if not run.exists():
                self.exchange(name)
                self.alone(self.root, self.train(self.root / f"cache-{name}", run, 4))
        return {content(self.root / f"cache-{name}")[0]: self.root / f"run-{name}" for name in ("one", "two")}

    def exchange(self, name: str) -> None:
        """Give the image the one content or the other."""
        shutil.copy(self.root / f"{name}.nii.gz", self.root / "new")
        os.replace(self.root / "new", self.image)


def wait_for(path: Path, process: Process) -> None:
    """Return when the process has written a file, or has ended."""
    while not path.exists() and process.code is None:
        number, status = os.waitpid(process.number, os.WNOHANG)
        if number:
            process.code = os.waitstatus_to_exitcode(status)
        time.sleep(0.005)


def _sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def _become(words: list[str], delay: float, barrier: int, log: Path) -> None:
    """Run the command line in the place of this process."""
    code = 99
    try:
        file = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.read(barrier, 1)  # nothing comes: it ends when the other end is closed
        time.sleep(delay)
        if words[0] == "exchange":
            os.replace(words[1], words[2])
            words = words[3:]
        code = cli.run(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def verdict(process: Process, others: Sequence[Process]) -> str:
    """Return ``succeeded`` or ``refused``.

    Raises:
        Finding: it did neither.
    """
    if process.code == 0:
        return "succeeded"
    lines = [line for line in process.text.splitlines() if "Error" in line]
    if process.code == 1 and len(lines) == 1 and lines[0].startswith("Error: ") and "Traceback" not in process.text:
        named = IN_THE_WAY.search(lines[0])
        if named is not None and int(named[1]) in {other.number for other in others if other is not process}:
            return "refused"
        if named is None and any(text in lines[0] for text in OTHER_REFUSALS):
            return "refused"
    raise Finding(f"a process ended with {process.code}: {process.text[-1500:]}")


def content(cache: Path) -> tuple[str, dict[str, str]]:
    """The fingerprint of a store and the checksums of its arrays.

    Raises:
        Finding: it is not complete, or half-written files lie about.
    """
    store = open_store(cache)
    if not all(store.is_complete(case) for case in store.cases):
        raise Finding(f"the store {cache} is not complete")
    half = list(cache.rglob(".part-*"))
    if half:
        raise Finding(f"half-written files are left: {half}")
    files = {
        f"{case.split}/{case.name}/{name}": hashlib.sha256((cache / case.folder / name).read_bytes()).hexdigest()
        for case in store.cases
        for name in ("image.npy", "label.npy")
    }
    return store.fingerprint, files


def require_equal(one: object, two: object, what: str) -> None:
    """Raise a :class:`Finding` if two things differ."""
    if one != two:
        raise Finding(f"{what} differs from what a process alone leaves")


def require_same_run(run: Path, reference: Path) -> None:
    """Raise a :class:`Finding` if checkpoints of two runs differ in a bit."""
    different = differing(run, reference)
    if different:
        raise Finding(f"{run} differs from a run alone in {different[:3]}")


def three_preprocessings(bench: Bench, folder: Path) -> list[str]:
    """All convert the same dataset into one new store."""
    cache = folder / "cache"
    processes = bench.run(folder, *[bench.preprocess(cache)] * 3, spread=1.5 * bench.seconds)
    verdicts = [verdict(process, processes) for process in processes]
    if "succeeded" not in verdicts:
        raise Finding("nobody succeeded")
    require_equal(content(cache), content(bench.root / "cache"), "the store")
    return verdicts


def preprocessing_killed(bench: Bench, folder: Path) -> list[str]:
    """One is killed in the middle while another starts or is refused; a third finds no lock."""
    cache = folder / "cache"
    delays = [0.0, bench.rng.random() * bench.seconds]
    processes = bench.start(folder, [bench.preprocess(cache)] * 2, delays)
    time.sleep(bench.rng.random() * bench.seconds)
    processes[0].kill()
    (after,) = bench.run(folder, bench.preprocess(cache))
    for process in processes:
        process.wait()
    verdicts = [verdict(process, [*processes, after]) for process in (processes[1], after)]
    if verdicts == ["refused", "refused"]:
        raise Finding(f"a lock has outlived its process: {after.text}")
    bench.alone(folder, bench.preprocess(cache))
    require_equal(content(cache), content(bench.root / "cache"), "the store")
    return verdicts


def two_trainings(bench: Bench, folder: Path) -> list[str]:
    """Both train into one new run directory, from a store that is there or has to be made."""
    cache = bench.rng.choice((bench.root / "cache", folder / "cache"))
    words = bench.train(cache, folder / "run", 2)
    processes = bench.run(folder, words, words, spread=3 * bench.seconds)
    verdicts = [verdict(process, processes) for process in processes]
    if verdicts.count("succeeded") != 1:
        raise Finding(f"{verdicts.count('succeeded')} of two trainings into one folder succeeded")
    require_same_run(folder / "run", bench.trained(2))
    return verdicts


def two_resumes(bench: Bench, folder: Path) -> list[str]:
    """Both go on with one run."""
    shutil.copytree(bench.trained(1), folder / "run")
    words = ["train", "--resume", str(folder / "run"), *_sets("train.epochs=2")]
    processes = bench.run(folder, words, words, spread=2 * bench.seconds)
    verdicts = [verdict(process, processes) for process in processes]
    if verdicts.count("succeeded") != 1:
        raise Finding(f"{verdicts.count('succeeded')} of two resumes succeeded")
    require_same_run(folder / "run", bench.resumed())
    return verdicts


def training_killed(bench: Bench, folder: Path) -> list[str]:
    """A training with a loader worker is killed, and resumed while that worker may still live."""
    out = folder / "run"
    words = bench.train(bench.root / "cache", out, 4, "data.workers=1")
    (first,) = bench.start(folder, [words], [0.0])
    wait_for(out / "checkpoints" / "last.pt", first)
    time.sleep(bench.rng.random() * bench.seconds / 2)
    first.kill()
    first.wait()
    (second,) = bench.run(folder, ["train", "--resume", str(out)])
    if first.code == 0 and "has come to its end" in second.text:
        return ["refused"]
    if IN_THE_WAY.search(second.text):
        raise Finding(f"a lock has outlived its process: {second.text}")
    told = verdict(second, [first])
    require_same_run(out, bench.trained(4))
    return [told]


def rebuild_under_a_training(bench: Bench, folder: Path) -> list[str]:
    """An image is exchanged, or the spacing changed, and the store rebuilt, while a training starts and reads."""
    cache, out, runs = bench.root / "shared-cache", folder / "run", bench.of_contents()
    rebuilds = []
    for place, name in enumerate(bench.rng.sample(("one", "two"), 2)):
        new = shutil.copy(bench.root / f"{name}.nii.gz", folder / f"new-{place}")
        other = ["data.spacing=[5,5]"] if bench.rng.random() < 0.3 else []
        rebuilds.append(["exchange", str(new), str(bench.image), *bench.preprocess(cache, *other)])
    words = bench.train(cache, out, 4, f"data.workers={bench.rng.randrange(2)}")
    try:
        processes = bench.run(folder, words, *rebuilds, spread=4 * bench.seconds)
        verdicts = [verdict(process, processes) for process in processes]
        if verdicts[0] == "succeeded":
            fingerprint = json.loads((out / "environment.json").read_text())["data_fingerprint"]
            if fingerprint not in runs:
                raise Finding("a training has read a store of neither content")
            require_same_run(out, runs[fingerprint])
        bench.alone(folder, bench.preprocess(cache))
        now = "one" if bench.image.read_bytes() == (bench.root / "one.nii.gz").read_bytes() else "two"
        require_equal(content(cache), content(bench.root / f"cache-{now}"), "the store")
    finally:
        bench.exchange("one")
    return verdicts


def reading_a_run(bench: Bench, folder: Path) -> list[str]:
    """A run is predicted with and evaluated while it is trained and its checkpoints are replaced."""
    out = folder / "run"
    scan = bench.data / "test" / "source" / "Case5.nii.gz"
    readers = [
        ["predict", str(out), str(scan), "-o", str(folder / f"labels-{place}"), "--device", "cpu"]
        if bench.rng.random() < 0.5
        else ["evaluate", str(out), "-o", str(folder / f"judged-{place}"), "--device", "cpu"]
        for place in range(3)
    ]
    processes = bench.start(folder, [bench.train(bench.root / "cache", out, 12)], [0.0])
    if bench.rng.random() < 0.8:  # else they come before there is anything to read
        wait_for(out / "checkpoints" / "best.pt", processes[0])
    processes += bench.run(folder, *readers, spread=2 * bench.seconds)
    processes[0].wait()
    verdicts = [verdict(process, processes) for process in processes]
    if verdicts[0] != "succeeded":
        raise Finding("a reader stopped the training")
    for place, told in enumerate(verdicts[1:]):
        written = [*folder.glob(f"labels-{place}/*.nii.gz"), *folder.glob(f"judged-{place}/predictions/*.nii.gz")]
        if len(written) != (told == "succeeded"):
            raise Finding(f"a reader that {told} has written {written}")
        for path in written:
            read_label(path)
    return verdicts


SCENARIOS: tuple[Callable[[Bench, Path], list[str]], ...] = (
    three_preprocessings,
    preprocessing_killed,
    two_trainings,
    two_resumes,
    training_killed,
    rebuild_under_a_training,
    reading_a_run,
)


def prepare(root: Path, seed: int) -> Bench:
    """Make the dataset, and a store alone."""
    bench = Bench(root, random.Random(seed))
    write_phantoms(bench.data, 4, 1, num_slices=4)
    shutil.copy2(bench.image, root / "one.nii.gz")
    one = nib.load(bench.image)
    nib.save(nib.Nifti1Image(one.get_fdata().max() - one.get_fdata(), one.affine), root / "two.nii.gz")
    start = time.monotonic()
    bench.alone(root, bench.preprocess(root / "cache"))
    bench.seconds = time.monotonic() - start
    return bench


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
