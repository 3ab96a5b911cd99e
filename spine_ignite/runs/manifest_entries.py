"""What a run's manifest says of a training, and of the code that anything was made with."""

from __future__ import annotations

import hashlib
import platform
from array import array
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spine_ignite.datasets.split import Fingerprint, Split, read_split
from spine_ignite.machine.hardware import describe_hardware
from spine_ignite.registry import Distribution
from spine_ignite.runs.directory import RunDirectory, installed_versions
from spine_ignite.runs.manifest import append_entry

_CORE = "spine_ignite"


def record_training(
    directory: RunDirectory,
    *,
    device: torch.device,
    precision: str,
    network: nn.Module,
    distributions: Iterable[Distribution],
    settings: dict[str, Any],
) -> str:
    """Add what a training was made of, and what it has left, to its run's manifest; return the head.

    Args:
        directory: of the run, whose files are written.
        device: that it was trained on.
        precision: of the forward pass.
        network: that was trained.
        distributions: that the run uses.
        settings: how far it came.

    Raises:
        RunError: the manifest cannot be written.
    """
    named = ("config", "split", "start", "environment", "metrics", "doctor", "best", "last")
    return append_entry(
        directory.root,
        "training",
        code=code_of([network], distributions),
        machine=describe_hardware(device, precision),
        data=data_of(read_split(directory.split)),
        files=[getattr(directory, name) for name in named],
        settings=settings,
    )


def data_of(split: Split) -> dict[str, Fingerprint]:
    """Return the files of a split's cases as it records them, by the cases' names."""
    return {case.name: Fingerprint(case.image, case.mask) for case in split.cases}


def code_of(networks: Iterable[nn.Module], distributions: Iterable[Distribution] = ()) -> dict[str, str]:
    """Return the versions of what computes, by distribution, and the SHA-256 of the code of the core and the networks.

    A version says little of a checkout that is being worked on; ``code of NAME`` tells whether its files are the same.
    """
    versions = {name: version for name, version in installed_versions().items() if version is not None}
    versions |= {found.name: found.version for found in distributions}
    packages = {_CORE, *(type(network).__module__.partition(".")[0] for network in networks)}
    hashes = {f"code of {name}": sha256 for name in sorted(packages) if (sha256 := _source_sha256(name)) is not None}
    return {"python": platform.python_version(), **dict(sorted(versions.items())), **hashes}


def shares_sha256(shares: array[float]) -> str:
    """Return the SHA-256 of the progress of a training, a float64 (little-endian) for each step."""
    return hashlib.sha256(torch.tensor(shares, dtype=torch.float64).numpy().astype("<f8").tobytes()).hexdigest()


@lru_cache
def _source_sha256(package: str) -> str | None:
    """SHA-256 over a package's modules, by name; None for what has no files."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    folders = [Path(folder) for folder in found.submodule_search_locations or ()]
    files = [(path.relative_to(folder).as_posix(), path) for folder in folders for path in folder.rglob("*.py")]
    if not folders and found.origin is not None and Path(found.origin).is_file():
        files = [(Path(found.origin).name, Path(found.origin))]
    digest = hashlib.sha256()
    for name, path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest() if files else None
