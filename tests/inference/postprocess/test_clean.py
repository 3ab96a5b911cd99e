from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spine_ignite.config.postprocess import check_step, steps
from spine_ignite.errors import RunError, UsageError
from spine_ignite.inference.postprocess import Cleaned, clean
from spine_ignite.labels import load_scheme

Install = Callable[..., Path]
SCHEME = load_scheme("lumbar-vertebrae")
AFFINE = np.diag([4.0, 1.0, 1.0, 1.0])


def test_steps_are_taken_in_their_own_order_and_told() -> None:
    volume = np.zeros((3, 9, 9), np.uint8)
    volume[1, 1:6, 1:6] = 1
    volume[1, 3, 3] = 0
    volume[1, 8, 8] = 1
    cleaned = clean(volume, AFFINE, SCHEME, ["holes", "components"])
    assert cleaned.message == "1 voxels beside the largest components removed; 1 voxels in holes filled"
    assert cleaned.indices.sum() == 25
    assert clean(volume, AFFINE, SCHEME, ["components:L4,L3"]).message == "no stray voxels"
    assert clean(volume, AFFINE, SCHEME, []).indices is volume


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("level", "no post-processing step 'level'. Did you mean 'levels'. The steps are levels, components, holes"),
        ("levels:L5", "components and holes take classes"),
        ("components:", "components and holes take classes"),
        ("holes:L5,L9", "scheme 'lumbar-vertebrae' has no structure 'L9'"),
        ("components:background", "has no structure 'background'"),
    ],
)
def test_nonsense_is_refused(step: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clean(np.zeros((2, 2, 2), np.uint8), AFFINE, SCHEME, [step])


def scattered(kind: str, shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """What a weak network gives: classes of MRSpineSeg without any order."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 20, shape).astype(np.uint8)
    if kind == "sparse":
        found[rng.random(shape) < 0.95] = 0
    elif kind == "one height":  # rows of fragments, all of one class or of any
        found[:] = 0
        found[:, shape[1] // 2, ::2] = rng.integers(1, 11, found[:, shape[1] // 2, ::2].shape)
    elif kind == "one class each":  # each class is everywhere, so that all centres lie in one place
        found = np.resize(np.arange(rng.integers(2, 12), dtype=np.uint8), shape)
    elif kind == "blobs":
        coarse = rng.integers(0, 20, [max(1, n // 4) for n in shape]).astype(np.uint8)
        found = np.resize(np.kron(coarse, np.ones((4, 4, 4), np.uint8)), shape)
    return found


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["noise", "sparse", "one height", "one class each", "blobs"]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 24), st.integers(1, 24)),
    seed=st.integers(0, 9999),
    axes=st.permutations([0, 1, 2]),
)
def test_no_step_fails_whatever_a_network_gives(
    kind: str, shape: tuple[int, int, int], seed: int, axes: list[int]
) -> None:
    scheme = load_scheme("mrspineseg")
    affine = np.eye(4)
    affine[:3, :3] = np.diag([4.0, 0.7, -0.9])[:, axes]
    volume = scattered(kind, shape, seed)
    with np.errstate(divide="raise", invalid="raise"):
        for step in steps():
            found = clean(volume, affine, scheme, [step])
            assert found.indices.shape == volume.shape
            assert found.indices.max() < scheme.num_classes
            if step != "holes":
                assert not found.indices[volume == 0].any(), "only holes are filled"
        clean(volume, affine, scheme, list(steps()))


def invert(indices: NDArray[np.uint8], affine: object, scheme: object, classes: list[int]) -> Cleaned:
    """Of each class its upper half, if there is such a thing."""
    return Cleaned(np.where(np.isin(indices, classes), 0, indices).astype(np.uint8), f"{classes} removed")


def wrong(indices: NDArray[np.uint8], affine: object, scheme: object) -> Cleaned:
    return Cleaned(indices + np.uint8(200), "")


def fails(indices: NDArray[np.uint8], affine: object, scheme: object) -> Cleaned:
    raise IndexError("there is no such thing")


def component(name: str, options: str = "None") -> str:
    return f"Component('{name}', '{__name__}:{name}', 'does it', {options})"


def test_a_plugin_s_step_is_taken_after_the_core_s(install: Install) -> None:
    with pytest.raises(UsageError, match="no post-processing step 'invert'"):
        clean(np.zeros((2, 2, 2), np.uint8), AFFINE, SCHEME, ["invert"])
    options = "__import__('spine_ignite.spec').spec.OfClasses"
    install("acme", register_cleanup_steps=[component("invert", options), component("wrong"), component("fails")])
    volume = np.full((2, 3, 3), 2, np.uint8)
    volume[0] = 1
    cleaned = clean(volume, AFFINE, SCHEME, ["invert:L4", "components"])
    assert cleaned.message == "no stray voxels; [2] removed"
    assert np.unique(cleaned.indices).tolist() == [0, 1]
    assert not clean(volume, AFFINE, SCHEME, ["acme:invert"]).indices.any(), "without classes: all"
    with pytest.raises(RunError, match=r"clean-up step 'wrong' of acme 1.0 must give a Cleaned with class indices"):
        clean(volume, AFFINE, SCHEME, ["wrong"])
    with pytest.raises(RunError, match=r"clean-up step 'fails' of acme 1.0 failed: IndexError: there is no such thing"):
        clean(volume, AFFINE, SCHEME, ["fails"])


def test_a_step_that_two_plugins_claim_is_chosen_by_distribution(install: Install) -> None:
    install("acme", register_cleanup_steps=[component("wrong")])
    install("other", register_cleanup_steps=[component("fails").replace("'fails'", "'wrong'", 1)])
    with pytest.raises(UsageError, match="clean-up step 'wrong' is registered by both acme 1.0 and other 1.0"):
        check_step("wrong")
    assert check_step("other:wrong") == "other:wrong"


def test_steps_of_earlier_runs_are_those_that_do_their_work_now() -> None:
    assert [check_step(step) for step in ("sacrum", "discs", "levels")] == ["levels"] * 3
    volume = np.zeros((3, 9, 9), np.uint8)
    assert clean(volume, AFFINE, SCHEME, ["discs", "sacrum"]).message.count("no column") == 1
