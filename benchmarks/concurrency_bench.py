"""Processes of the command line that meet, and what each may leave: the tools of ``concurrency.py``."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
from kills import differing

from spine_ignite import cli
from spine_ignite.phantom import write_phantoms
from spine_ignite.slices.store import open_store

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
        return ["preprocess", str(self.data), *sets(*SETTINGS, f"data.cache={cache}", *more)]

    def train(self, cache: Path, out: Path, epochs: int, *more: str) -> list[str]:
        """Words of a training."""
        settings = sets(*SETTINGS, f"data.cache={cache}", f"train.epochs={epochs}", *more)
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
            self.alone(self.root, ["train", "--resume", str(run), *sets("train.epochs=2")])
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


def sets(*settings: str) -> list[str]:
    """Return the words that give settings to a command."""
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
