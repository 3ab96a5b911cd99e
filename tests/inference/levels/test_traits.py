from __future__ import annotations

import itertools

import numpy as np
import pytest

from spine_ignite.inference.levels.column import Column, name_column
from spine_ignite.inference.levels.traits import TRAITS, traits
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import Phantom, PhantomOptions, make_phantom

SCHEME = load_scheme("spine")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(5, 0, 2, options=PhantomOptions("t2", "lumbar", 0.0, "spine"))


@pytest.fixture(scope="module")
def column(phantom: Phantom) -> Column:
    return name_column(SCHEME.to_indices(phantom.label), phantom.affine, SCHEME)


def test_they_do_not_depend_on_how_a_volume_is_stored_and_scaled(phantom: Phantom, column: Column) -> None:
    row = traits(column, phantom.image)
    order, flip = [2, 0, 1], np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = phantom.image.shape[0] - 1
    labels = np.flip(SCHEME.to_indices(phantom.label).transpose(order), 1)
    image = np.flip(phantom.image.transpose(order), 1).astype(np.float32) * 3 + 500
    affine = phantom.affine[:, [*order, 3]] @ flip
    again = traits(name_column(np.ascontiguousarray(labels), affine, SCHEME), image)
    assert set(row) == set(TRAITS) - {"sure", "sure_low", "sure_names"}
    # Noise is looked at along one axis of the stored slice.
    assert again == pytest.approx(row, rel=0.02, abs=0.02)


def test_places_are_those_of_the_phantom(phantom: Phantom, column: Column) -> None:
    """A body and a canal of this phantom are about 32 and 16 mm deep, so that their middles are about 25 mm apart."""
    row = traits(column)
    vertebrae = phantom.spine.vertebrae[: int(row["vertebrae"])]
    steps = [np.linalg.norm(b.centre - a.centre) for a, b in itertools.pairwise(vertebrae)]
    assert row["step_mm"] == pytest.approx(np.median(steps), abs=2)
    assert row["canal_behind_mm"] == pytest.approx(25, abs=5)
    assert row["canal_aside_mm"] < 8
    assert row["sacrum_behind_mm"] > 10
    assert row["scattered"] == 0
    sizes = [np.log(v.height * v.depth * v.width) / 3 for v in vertebrae]
    assert row["taper"] == pytest.approx(np.polyfit(range(len(sizes)), sizes, 1)[0], abs=0.01)
    assert row["cord_above"] > 1


def test_certainty_is_that_of_the_probabilities(phantom: Phantom, column: Column) -> None:
    labels = SCHEME.to_indices(phantom.label)
    called = labels[labels > 0]
    table = np.zeros((len(called), SCHEME.num_classes), np.float16)
    vertebrae = np.array([c.index for c in SCHEME.classes if c.kind == "vertebra"])
    table[np.arange(len(called)), called] = 0.5
    table[:, vertebrae[-1]] += 0.25  # of another name
    table[:, 0] = 0.25
    row = traits(column, None, labels, table)
    assert row["sure"] == pytest.approx(0.75, abs=0.01)
    assert row["sure_low"] == pytest.approx(0.75, abs=0.01)
    assert row["sure_names"] == pytest.approx(2 / 3, abs=0.01)


def test_grey_values_tell_another_contrast_and_noise(phantom: Phantom, column: Column) -> None:
    rng = np.random.default_rng(0)
    plain = traits(column, phantom.image)
    inverted = traits(column, phantom.image.max() - phantom.image)
    for name in ("grey_disc", "grey_canal", "grey_around", "cortex"):
        assert inverted[name] == pytest.approx(-plain[name], abs=0.1)
    assert inverted["grey_middle"] == pytest.approx(1 - plain["grey_middle"], abs=0.01)
    assert plain["grey_middle"] < 0.4
    assert plain["cortex"] < -0.02  # compact bone is dark in every MRI
    noise = traits(column, rng.normal(0, 1, phantom.image.shape))
    assert noise["noise"] > 3 * plain["noise"]
    assert noise["edges"] == pytest.approx(0, abs=0.02)
    assert plain["edges"] > 0.1
    assert traits(column, np.full(phantom.image.shape, 7))["edges"] == 0


def test_outlines_beside_the_spine_follow_no_edges(phantom: Phantom, column: Column) -> None:
    moved = np.roll(phantom.image, 15, axis=int(np.argmax(phantom.image.shape)))
    assert traits(column, moved)["edges"] < 0.6 * traits(column, phantom.image)["edges"]


def test_without_a_column_there_are_none() -> None:
    nothing = np.zeros((20, 20, 5), np.uint8)
    empty = name_column(nothing, np.diag([1.0, 1.0, 4.0, 1.0]), SCHEME)
    assert traits(empty, nothing) == {}
