"""Where curves, outlines and names are, and which cases are shown."""

from __future__ import annotations

import base64
import gzip
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.evaluation.case_results import evaluate_case
from spine_ignite.labels import load_scheme
from spine_ignite.report.curves import HEIGHT, WIDTH, ticks, training_charts
from spine_ignite.report.extremes import Extreme, ShownCase, extremes
from spine_ignite.report.outlines import picture
from spine_ignite.report.run_tables import strength
from spine_ignite.report.viewer import viewer
from spine_ignite.volumes.volume import Volume

SCHEME = load_scheme("lumbar-vertebrae")


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
def test_ticks_are_few_even_and_enclose_the_range(low: float, span: float, whole: bool) -> None:
    found = ticks(low, low + span, whole)
    steps = np.diff(found)
    assert 2 <= len(found) <= 8
    assert found[0] <= low + 1e-6 * steps[0]
    assert found[-1] >= low + span - 1e-6 * steps[0]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert not whole or all(value == round(value) for value in found)


def test_a_curve_goes_through_its_points_and_leaves_out_what_is_not_a_figure() -> None:
    losses = [4.0, math.nan, 2.0, 1.0]
    epochs = [{"epoch": n, "train/loss": loss} for n, loss in enumerate(losses, 1)]
    (chart,) = training_charts([*epochs, {"epoch": 5, "train/loss": None}])
    (line,) = chart.lines
    across = {float(tick.text): tick.place for tick in chart.across}
    up = {float(tick.text): tick.place for tick in chart.up}
    assert (across[1], across[5]) == (52, WIDTH - 12)
    assert (up[0], up[4]) == (HEIGHT - 34, 12)
    found = [tuple(map(float, place.split(","))) for place in line.path[1:].split("L")]
    expected = [(across[1], up[4]), (across[3], up[2]), (across[4], up[1])]
    np.testing.assert_allclose(found, expected, atol=0.06)
    assert line.dots[-1].text == "training 1, epoch 4"


def test_the_worst_and_the_best_are_taken_by_turns() -> None:
    def case(name: str, right: int) -> object:
        truth = np.ones((10, 1, 1), np.uint8)
        found = (np.arange(10)[:, None, None] < right).astype(np.uint8)
        return evaluate_case(name, truth, found, (1, 1, 1), SCHEME)

    empty = evaluate_case("empty", *[np.zeros((2, 2, 2), np.uint8)] * 2, (1, 1, 1), SCHEME)
    results = [case("b", 3), case("d", 9), case("a", 1), case("c", 5), empty]
    found = extremes(results, 5)
    assert [(e.result.case, e.rank) for e in found] == [
        ("a", "worst"),
        ("d", "best"),
        ("b", "2nd worst"),
        ("c", "2nd best"),
    ]
    assert extremes(results, 0) == extremes([empty], 2) == []
    assert extremes([results[0]], 2)[0].rank == "only case"


@pytest.mark.parametrize("flip", [1, -1])
def test_a_picture_has_the_slice_with_most_of_the_spine_in_millimetres(flip: int) -> None:
    """Array axes: left to right, head to foot in steps of 2 mm, back to front; ``flip`` turns them all round."""
    truth = np.zeros((5, 20, 30), np.uint8)
    truth[1, 4:8, 10:14] = 2
    truth[1, 12:16, 10:14] = 1
    truth[2, 12:16, 10:14] = 1
    found = np.where(truth == 2, 3, truth).astype(np.uint8)
    affine = np.diag([4.0, 2.0, 1.0, 1.0])[[0, 2, 1, 3]] * np.array([1, -1, 1, 1])
    if flip < 0:
        truth, found = truth[::-1, ::-1, ::-1], found[::-1, ::-1, ::-1]
        affine = affine @ np.diag([-1, -1, -1, 1])
    image = Volume(np.random.default_rng(0).random(truth.shape, np.float32), affine, Path("case.nii"))
    result = evaluate_case("case", truth, found, (4, 2, 1), SCHEME)
    shown = ShownCase(Extreme(result, "only case"), image, truth, found)
    drawn = picture(shown, SCHEME)
    names = SCHEME.names
    assert drawn.extent == (40, 30)
    assert drawn.place == "slice 4 of 5", "the second from the left is the fourth from the right"
    image_panel, reference, prediction = drawn.panels
    assert not image_panel.outlines
    assert [shape.name for shape in reference.outlines] == [names[1], names[2]]
    assert [shape.name for shape in prediction.outlines] == [names[1], names[3]]
    assert prediction.beneath == tuple(shape.path for shape in reference.outlines)
    labels = {label.text: (label.x, label.y, label.wrong) for label in prediction.labels}
    assert labels == {names[1]: (18.0, 28.0, False), names[3]: (18.0, 12.0, True)}
    x, y, z = np.linalg.solve(affine, [*shown.centre, 1])[:3]
    assert truth[round(x), round(y), round(z)] > 0
    assert round(x) == (1 if flip > 0 else 3)


def test_errors_are_tinted_by_their_size() -> None:
    assert [strength(value) for value in (0, 1e-9, 0.01, 0.25, 1, 1.5)] == [0, 1, 1, 5, 10, 10]
    assert [strength(n / 100) for n in range(101)] == sorted(strength(n / 100) for n in range(101))


@pytest.mark.parametrize(("values", "kind"), [([0, 255], "uint8"), ([-1000, 3000], "int16"), ([0.5, 2], "float32")])
def test_an_image_takes_the_least_room_that_keeps_its_values(values: list[float], kind: str) -> None:
    array = np.resize(np.array(values, np.float32), (2, 3, 2))
    empty = np.zeros(array.shape, np.uint8)
    extreme = Extreme(evaluate_case("case", empty, empty, (1, 1, 1), SCHEME), "only case")
    block = viewer([ShownCase(extreme, Volume(array, np.eye(4), Path("case.nii")), empty, empty)], SCHEME).blocks[0]
    shown = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(block.base64)))
    assert shown.get_data_dtype() == kind
    np.testing.assert_array_equal(np.asarray(shown.dataobj), array)
