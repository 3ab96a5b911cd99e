"""What ``concurrency.py`` plays: each scenario returns its verdicts, or raises a finding."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from concurrency_bench import (
    IN_THE_WAY,
    Bench,
    Finding,
    content,
    require_equal,
    require_same_run,
    sets,
    verdict,
    wait_for,
)

from spine_ignite.volumes.volume import read_label


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
    words = ["train", "--resume", str(folder / "run"), *sets("train.epochs=2")]
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
