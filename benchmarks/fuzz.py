"""Damaged files and folders of every kind that the program reads: only a ``SpineIgniteError`` may come of them.

Each input is a valid file with bytes, header fields, lines or entries changed at random. Whatever ends in another
exception, takes over 20 seconds, brings the process above 2 GB, or leaves half-written files behind is a finding: it is
kept in ``--keep``, and the script ends with 1. ``--atheris`` searches by coverage in place of at random: the functions
of this package and of the readers beneath it are instrumented, and inputs that reach something new are changed further.

    python benchmarks/fuzz.py --inputs 20000 --out benchmarks/results/fuzz.json
    python benchmarks/fuzz.py --only nifti --atheris --inputs 100000 --out nifti.json     # needs: pip install atheris
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import logging
import math
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from fuzz_targets import Target, build_targets, mutate, require_sentence, run_command

from spine_ignite.errors import SpineIgniteError
from spine_ignite.machine.peak_memory import peak_memory_mib

SECONDS = 20  # of wall time for an input
GIGABYTES = 2.0
INSTRUMENTED = ("spine_ignite", "nibabel", "yaml", "pydantic", "json", "gzip", "zipfile", "csv")


class TooLong(BaseException):
    """An input that hangs; no ``Exception``, since timeouts are ``OSError`` and the program catches these."""


def attempt(target: Target, data: bytes, root: Path) -> str:
    """Let the target read ``data``; return ``accepted`` or ``refused``, raise what is a finding."""
    folder = root / "input"
    folder.mkdir()
    path = folder / f"Case1{target.suffix}"
    path.write_bytes(gzip.compress(data, 1) if target.payload else data)
    signal.alarm(SECONDS)
    try:
        target.check(path)
        return "accepted"
    except SpineIgniteError as error:
        if target.check is not run_command:
            require_sentence(error)
        return "refused"
    finally:
        signal.alarm(0)
        shutil.rmtree(folder)


def main() -> None:
    """Fuzz and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one kind of input")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for what was found")
    parser.add_argument("--atheris", action="store_true", help="search by coverage; --only must name a kind")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    torch.set_num_threads(1)
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)  # it tells much of what it finds odd in a header
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        targets = build_targets(root)
        if options.only is not None and options.only not in targets:
            parser.error(f"--only: one of {', '.join(targets)}")
        if options.atheris:
            if options.only is None:
                parser.error("--atheris needs --only")
            _by_coverage(targets[options.only], options, root)
        findings, rows = _at_random(targets, options, root)
    _record(options, findings, rows)
    sys.exit(1 if findings else 0)


def _at_random(targets: dict[str, Target], options: argparse.Namespace, root: Path) -> tuple[int, list[dict[str, Any]]]:
    rng = random.Random(options.seed)
    chosen = [options.only] if options.only else list(targets)
    findings, rows = 0, []
    _print_head()
    for name in chosen:
        target, counts, start = targets[name], Counter[str](), time.perf_counter()
        for _ in range(math.ceil(options.inputs / len(chosen))):
            data = mutate(rng, rng.choice(target.seeds), target.seeds)
            _try(target, name, data, root, counts, options.keep)
        findings += counts["finding"]
        rows.append(_print_row(name, counts, time.perf_counter() - start))
    _print_peak()
    return findings, rows


def _try(target: Target, name: str, data: bytes, root: Path, counts: Counter[str], keep: Path) -> None:
    """Count what comes of an input; keep it if that is a finding."""
    try:
        counts[attempt(target, data, root)] += 1
    except (Exception, TooLong):
        counts["finding"] += 1
        keep.mkdir(parents=True, exist_ok=True)
        place = keep / f"{name.replace(' ', '-')}-{counts['finding']}{target.suffix}"
        place.write_bytes(data)
        place.with_suffix(".txt").write_text(traceback.format_exc())
    if peak_gigabytes() > GIGABYTES:
        sys.exit(f"{name}: the process needed {peak_gigabytes():.2f} GB, more than {GIGABYTES:g}")


def _print_head() -> None:
    print("| input | tried | accepted | refused with a sentence | findings | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")


def _print_row(name: str, counts: Counter[str], seconds: float) -> dict[str, Any]:
    tried = sum(counts.values())
    figures = f"{tried} | {counts['accepted']} | {counts['refused']} | {counts['finding']} | {seconds:.0f}"
    print(f"| {name} | {figures} |", flush=True)
    return {"input": name, **counts, "seconds": seconds}


def _print_peak() -> None:
    print(f"\nPeak memory {peak_gigabytes():.2f} GB (most allowed: {GIGABYTES:g})")


def _record(options: argparse.Namespace, findings: int, rows: list[dict[str, Any]]) -> None:
    if options.out:
        record = {"inputs": options.inputs, "peak_gb": peak_gigabytes(), "findings": findings, "targets": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n")


def _by_coverage(target: Target, options: argparse.Namespace, root: Path) -> None:
    """Let atheris choose the inputs."""
    import atheris

    corpus, counts = root / "corpus", Counter[str]()
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    for function in gc.get_objects():  # atheris.instrument_all takes minutes: it does not spare torch
        if isinstance(function, FunctionType) and str(function.__module__).split(".")[0] in INSTRUMENTED:
            atheris.instrument_func(function)
    start = time.perf_counter()

    def one(data: bytes) -> None:
        _try(target, options.only, data, root, counts, options.keep)

    # libFuzzer's own alarm would take the place of ours.
    words = [
        f"-atheris_runs={options.inputs}",
        "-max_len=8192",
        "-timeout=0",
        "-verbosity=0",
        f"-seed={options.seed + 1}",
    ]
    atheris.Setup([sys.argv[0], *words, str(corpus)], one)
    signal.signal(signal.SIGALRM, _too_long)
    try:
        atheris.Fuzz()  # which ends with SystemExit
    finally:
        new = len(list(corpus.iterdir())) - len(target.seeds)
        _print_head()
        row = _print_row(options.only, counts, time.perf_counter() - start)
        _print_peak()
        print(f"Inputs that reached something new: {new}")
        _record(options, counts["finding"], [{**row, "new": new}])
        if counts["finding"]:
            sys.exit(1)


def peak_gigabytes() -> float:
    """Most memory that this process has had, in GB."""
    return peak_memory_mib() * 2**20 / 1e9


def _too_long(*_: object) -> None:
    raise TooLong(f"more than {SECONDS} seconds")


if __name__ == "__main__":
    main()
