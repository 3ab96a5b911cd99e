"""Datasets of any number of cases from a few phantoms, for the benchmarks that ask how cost grows with cases.

Rendering a phantom takes a second, so a few are rendered and preprocessed, and each further case is a hard link to the
volumes and the arrays of one of them, under a name, a folder and a checksum of its own in the manifest. To the program
these are different files of equal content: it lists, stats, opens, maps and reads every one. What is not real is the
disk's work (the content of the few phantoms stays in the page cache) and the checksum, which nothing reads as long as
size and time of a file are as recorded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spine_ignite.config import RunConfig, load_config
from spine_ignite.phantom import write_phantoms
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import MANIFEST, SourceFile, StoredCase, format_manifest

ARRAYS = ("image.npy", "label.npy")


def simulate(folder: Path, cases: int, num_slices: int, phantoms: int = 5, overrides: Sequence[str] = ()) -> RunConfig:
    """Write a dataset with ``cases`` training cases and its slice store.

    Args:
        folder: takes ``data`` and ``store``; must be on a file system with hard links.
        cases: how many; a multiple of ``phantoms``, so that the median spacing is the phantoms'.
        num_slices: slices of a case.
        phantoms: how many are rendered, at most ``cases``; an odd number.
        overrides: settings of the configuration.

    Returns:
        The configuration, whose store is up to date.
    """
    root = folder / "data"
    rendered = min(phantoms, cases)
    write_phantoms(root, rendered, 0, num_slices=num_slices)
    config = load_config(None, [f"data.root={root}", f"data.cache={folder / 'store'}", *overrides])
    store = build_store(config.data).store
    found = [*store.cases]
    for number in range(rendered, cases):
        found.append(_copy(store.root, root, found[number % rendered], number + 1))
    # A store holds its cases in the order in which they are found: by split and number, as here.
    (store.root / MANIFEST).write_text(format_manifest(replace(store, cases=tuple(found))), encoding="utf-8")
    result = build_store(config.data)
    assert (result.built, result.reused) == (0, cases), "the simulated store is not taken for up to date"
    return config


def _copy(store: Path, root: Path, case: StoredCase, number: int) -> StoredCase:
    name, folder = f"Case{number}", f"train/{number:016x}"
    assert case.label is not None
    image = _link(case.image, root / "train" / "source" / f"{name}.nii.gz", number)
    label = _link(case.label, root / "train" / "label" / f"mask_case{number}.nii.gz", number)
    (store / folder).mkdir()
    for array in ARRAYS:
        os.link(store / case.folder / array, store / folder / array)
    return replace(case, name=name, id=str(number), folder=folder, image=image, label=label, content=image.sha256)


def _link(source: SourceFile, path: Path, number: int) -> SourceFile:
    os.link(source.path, path)
    return replace(source, path=str(path), sha256=f"{number:064x}")
