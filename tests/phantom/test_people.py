"""The people: variants, findings and the shape of the column against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spine_ignite.labels import load_scheme
from spine_ignite.phantom.anatomy import Spine
from spine_ignite.phantom.people import RATES, draw_spine
from spine_ignite.phantom.values import SPINE_VALUES

PEOPLE = 600


@pytest.fixture(scope="module")
def people() -> list[Spine]:
    return [draw_spine(np.random.default_rng((1, number)), 1.0) for number in range(PEOPLE)]


def tilt(spine: Spine, name: str) -> float:
    """Degrees by which a vertebra leans forwards."""
    up = next(v for v in spine.vertebrae if v.name == name).axes[2]
    return math.degrees(math.atan2(-up[1], up[2]))


def test_findings_occur_as_often_as_stated(people: list[Spine]) -> None:
    for name, rate in RATES.items():
        count = sum(name in spine.findings for spine in people)
        assert abs(count - rate * PEOPLE) < 4 * math.sqrt(PEOPLE * rate * (1 - rate)), name


def test_a_column_has_the_levels_of_its_variant(people: list[Spine]) -> None:
    for spine in people:
        names = [vertebra.name for vertebra in spine.vertebrae]
        assert ("L6" in names) == ("L6" in spine.findings)
        assert ("T13" in names) == ("T13" in spine.findings)
        expected = 17 + sum(finding in spine.findings for finding in ("L6", "T13"))
        if "sacralised L5" in spine.findings and "L6" not in spine.findings:
            assert names[0] == "L4"
            expected -= 1
        if "no T12" in spine.findings and "T13" not in spine.findings:
            assert "T12" not in names
            expected -= 1
        assert len(names) == expected
        lower = ["S", *names[:-1]]
        assert [disc.name for disc in spine.discs] == [f"{a}/{b}" for a, b in zip(names, lower, strict=True)]


def test_plain_people_have_only_worn_discs() -> None:
    for number in range(30):
        spine = draw_spine(np.random.default_rng(number))
        assert spine.findings == ()
        assert [vertebra.name for vertebra in spine.vertebrae][:2] == ["L5", "L4"]
        assert all(sum(vertebra.crush) == 0 for vertebra in spine.vertebrae)


def test_lordosis_and_kyphosis_are_those_of_adults(people: list[Spine]) -> None:
    """L1-S1 lordosis of lying adults is about 50 (SD 11), T4-T12 kyphosis about 30 to 40 degrees (SD 10)."""
    straight = [s for s in people if not s.findings]
    slope = [math.degrees(math.atan2(-s.plate.axes[2, 1], s.plate.axes[2, 2])) for s in straight]
    lordosis = np.array(slope) - [tilt(s, "L1") for s in straight]
    kyphosis = np.array([tilt(s, "T4") - tilt(s, "T12") for s in straight])
    assert lordosis.mean() == pytest.approx(47, abs=8)
    assert kyphosis.mean() == pytest.approx(30, abs=8)
    assert 5 < lordosis.std() < 18


def test_bodies_stand_on_each_other(people: list[Spine]) -> None:
    """Between two bodies lies their disc and no more: distances of the middles add up."""
    for spine in people[:100]:
        if "slip" in spine.findings:
            continue
        for lower, upper, disc in zip(spine.vertebrae, spine.vertebrae[1:], spine.discs[1:], strict=False):
            distance = float(np.linalg.norm(upper.centre - lower.centre))
            lost = float(np.mean(lower.crush))
            assert distance == pytest.approx(lower.height / 2 - lost + disc.height + upper.height / 2, abs=1.5)


def test_the_axes_of_a_vertebra_are_a_rotation(people: list[Spine]) -> None:
    for spine in people[:50]:
        for vertebra in spine.vertebrae:
            np.testing.assert_allclose(vertebra.axes @ vertebra.axes.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(vertebra.axes) == pytest.approx(1)


def test_slips_and_scoliosis_displace_bodies(people: list[Spine]) -> None:
    def sideways(spine: Spine) -> float:
        return float(np.ptp([vertebra.centre[0] for vertebra in spine.vertebrae[:9]]))

    bent = [sideways(s) for s in people if "scoliosis" in s.findings]
    straight = [sideways(s) for s in people if "scoliosis" not in s.findings]
    assert np.median(bent) > 8 > 2 * np.median(straight)


def test_values_are_those_of_the_scheme() -> None:
    scheme = load_scheme("spine")
    assert {c.name: c.value for c in scheme.classes} == SPINE_VALUES
