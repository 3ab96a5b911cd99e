"""What is promised of the file, where it is there; ``make ready`` makes it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spine_ignite import load, predict, write_phantoms
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import PhantomOptions
from spine_ignite.registry import load_registry
from spine_ignite_ready import WEIGHTS

made = pytest.mark.skipif(not WEIGHTS.is_file(), reason="its weights are not made yet: make ready")


def test_the_name_is_that_of_the_file() -> None:
    item = load_registry().component("network", "ready")
    assert (item.value.target, item.distribution.name) == (str(WEIGHTS), "spine-ignite-ready")


@made
def test_the_file_is_small_and_says_what_it_is() -> None:
    assert WEIGHTS.stat().st_size <= 12_000_000
    assert {value.dtype for value in load_file(WEIGHTS).values()} <= {torch.float16, torch.int64}
    description = load("ready").description
    assert description.scheme.classes == load_scheme("spine").classes
    assert description.images is not None, "it says of each image whether its network has seen it"


@made
@pytest.mark.parametrize("contrast", ["t1", "t2"])
def test_it_finds_the_bodies_of_phantoms_that_it_has_not_seen(tmp_path: Path, contrast: str) -> None:
    """Dice of all vertebral bodies as one; a floor, far below what it reaches."""
    options = PhantomOptions(contrast=contrast, scheme="spine")
    write_phantoms(tmp_path, 0, 1, seed=987654, options=options)
    (image,), (mask,) = (sorted((tmp_path / "test" / part).iterdir()) for part in ("source", "label"))
    scheme = load_scheme("spine")
    bodies = [entry.value for entry in scheme.classes if entry.kind == "vertebra"]
    found = np.isin(np.asarray(predict("ready", image, device="cpu").dataobj), bodies)
    truth = np.isin(np.asarray(nib.load(mask).dataobj), bodies)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
