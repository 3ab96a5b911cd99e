"""Let reads and writes of files transfer less than was asked, as network drives may; the results must stay the same.

A small library, built with gcc and loaded before the C library (``LD_PRELOAD``), gives every ``read`` and ``write`` of
a file a random part of its length. Correct programs go on with the rest. A dataset of .nii.gz, .nii and .mha files is
checked, preprocessed, trained on, resumed, predicted and evaluated, once with and once without; the slices,
checkpoints, label volumes and tables are compared. What the C library reads for itself (``fread``) stays as it is.

    python benchmarks/short_reads.py --out benchmarks/results/short_reads.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
from kills import differing

from spine_ignite.phantom import write_phantoms
from spine_ignite.slices.store import open_store
from spine_ignite.volumes.metaimage import write as write_metaimage
from spine_ignite.volumes.volume import read_label

SHIM = r"""
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long asked, shortened;
static _Thread_local uint64_t state = 88172645463325252u;

static size_t part(int file, size_t length) {
    struct stat status;
    atomic_fetch_add(&asked, 1);
    if (length < 2 || fstat(file, &status) || !S_ISREG(status.st_mode)) return length;
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    atomic_fetch_add(&shortened, 1);
    return 1 + state % length;
}

ssize_t read(int file, void *to, size_t length) { return syscall(SYS_read, file, to, part(file, length)); }
ssize_t write(int file, const void *from, size_t length) { return syscall(SYS_write, file, from, part(file, length)); }
ssize_t pread(int file, void *to, size_t length, off_t place) {
    return syscall(SYS_pread64, file, to, part(file, length), place);
}
ssize_t pread64(int file, void *to, size_t length, off_t place) {
    return syscall(SYS_pread64, file, to, part(file, length), place);
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("SHORT_READS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%ld %ld\n", atomic_load(&asked), atomic_load(&shortened));
        fclose(file);
    }
}
"""
SETTINGS = (
    "data.spacing=[4,4]",
    "data.batch_size=4",
    "data.workers=1",
    "data.validation=0.3",
    "model.width=4",
    "model.depth=2",
    "train.epochs=1",
    "train.steps_per_epoch=2",
    "precision=fp32",
    "threads=1",
)
CHILD = "import json, sys; from spine_ignite import cli; sys.exit(any([cli.run(w) for w in json.loads(sys.argv[1])]))"


def main() -> None:
    """Run everything twice, compare, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "data")
        library = build(folder)
        counts = folder / "counts"
        run_all(folder, "whole", {})
        run_all(folder, "short", {"LD_PRELOAD": str(library), "SHORT_READS": str(counts)})
        calls = [[int(word) for word in line.split()] for line in counts.read_text().splitlines()]
        asked, shortened = (sum(column) for column in zip(*calls, strict=True))
        differences = compare(folder)
    print(f"{shortened} of {asked} reads and writes transferred only a part of what was asked.\n")
    print("| what | differs |")
    print("| --- | --- |")
    for what, differs in differences.items():
        print(f"| {what} | {'yes' if differs else 'no'} |")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        record = {"calls": asked, "shortened": shortened, "differs": differences}
        options.out.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(1 if any(differences.values()) or shortened < 100 else 0)


def write_dataset(root: Path) -> None:
    """Write phantoms; the first case becomes .nii, the second .mha."""
    write_phantoms(root, 4, 1, num_slices=4)
    for number, suffix in ((1, ".nii"), (2, ".mha")):
        for path in list(root.glob(f"train/*/*ase{number}.nii.gz")):
            volume = read_label(path)
            other = path.with_name(path.name.replace(".nii.gz", suffix))
            if suffix == ".mha":
                write_metaimage(other, volume.array.astype("int16"), volume.affine)
            else:
                nib.save(nib.Nifti1Image(volume.array.astype("int16"), volume.affine), other)
            path.unlink()


def build(folder: Path) -> Path:
    """Compile the library."""
    source, library = folder / "short.c", folder / "short.so"
    source.write_text(SHIM)
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("needs gcc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


def run_all(folder: Path, name: str, environment: dict[str, str]) -> None:
    """Run all commands in one process."""
    out, data = folder / name, str(folder / "data")
    run = str(out / "run")
    sets = [word for setting in (*SETTINGS, f"data.cache={out / 'cache'}") for word in ("--set", setting)]
    image = str(folder / "data" / "train" / "source" / "Case2.mha")
    commands = [
        ["check", data],
        ["preprocess", data, *sets],
        ["train", "--model", "unet", "--data", data, "--out", run, *sets],
        ["train", "--resume", run, "--set", "train.epochs=2"],
        ["predict", run, data, image, "-o", str(out / "labels")],
        ["evaluate", run, "-o", str(out / "judged")],
    ]
    words = [sys.executable, "-W", "ignore", "-c", CHILD, json.dumps(commands)]
    result = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{name}: {result.stderr[-3000:]}")


def compare(folder: Path) -> dict[str, bool]:
    """Say of each kind of result whether it differs."""
    whole, short = folder / "whole", folder / "short"
    tables = ("cases.csv", "confusion.csv")
    stores = [open_store(root / "cache") for root in (whole, short)]
    volumes = [sorted((root / "labels").glob("*.[nm]*")) for root in (whole, short)]
    return {
        "fingerprint of the data": stores[0].fingerprint != stores[1].fingerprint,
        "slices": digests(whole / "cache", "*.npy") != digests(short / "cache", "*.npy"),
        "checkpoints": bool(differing(whole / "run", short / "run")),
        "label volumes": len(volumes[0]) != 2 or any(voxels_differ(*pair) for pair in zip(*volumes, strict=True)),
        "tables": any((whole / "judged" / t).read_bytes() != (short / "judged" / t).read_bytes() for t in tables),
    }


def digests(root: Path, pattern: str) -> dict[str, str]:
    """Checksums of files by their places."""
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob(pattern))}


def voxels_differ(one: Path, two: Path) -> bool:
    """Whether the voxels of two volumes differ."""
    first, second = (read_label(path).array for path in (one, two))
    return first.shape != second.shape or bool((first != second).any())


if __name__ == "__main__":
    main()
