"""Measurements of solids of known shape, sampled on grids that are oblique and anisotropic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spine_ignite.anatomy.measure_volume import Row, measure_volume
from spine_ignite.errors import DataError
from spine_ignite.labels import LabelScheme, load_scheme

Array = NDArray[np.float64]
SCHEME = load_scheme("spine")
INDEX = {c.name: c.index for c in SCHEME.classes}


@dataclass(frozen=True)
class Wedge:
    """A body by its corners (back, up) in the sagittal plane: upper front, upper back, lower back, lower front."""

    name: str
    corners: Array
    width: float = 46.0

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (left, back, up) lie in it."""
        inside = np.abs(points[..., 0]) < self.width / 2
        for one, two in zip(self.corners, np.roll(self.corners, -1, axis=0), strict=True):
            edge = two - one
            inside &= edge[0] * (points[..., 2] - one[1]) - edge[1] * (points[..., 1] - one[0]) < 0
        return np.asarray(inside)


@dataclass(frozen=True)
class Solid:
    """Wedges and a canal (an elliptic cylinder along the column) in a world of its own, and how it is sampled."""

    wedges: Sequence[Wedge]
    canal: tuple[float, float, float] | None = None  # middle (back), half depth, half width
    spacing: tuple[float, float, float] = (4.0, 1.0, 1.0)  # left-right, back, up
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees of the solid against the grid, about each axis
    size: tuple[float, float, float] = (70.0, 110.0, 170.0)
    shift: tuple[float, float, float] = (0.3, 0.2, 0.1)
    paint: Callable[[NDArray[np.uint8]], None] = field(default=lambda _labels: None)

    def rows(self, scheme: LabelScheme = SCHEME) -> dict[str, Row]:
        """Sample it and measure it."""
        labels, affine = self.sampled()
        self.paint(labels)
        return {row.level: row for row in measure_volume(labels, affine, scheme)}

    def sampled(self) -> tuple[NDArray[np.uint8], Array]:
        """Return class indices at the centres of voxels, and an affine."""
        shape = [round(mm / step) for mm, step in zip(self.size, self.spacing, strict=True)]
        grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        points = (grid - (np.array(shape) - 1) / 2) * self.spacing + self.shift
        local = points @ rotation(self.turn)
        labels = np.zeros(shape, np.uint8)
        for wedge in self.wedges:
            labels[wedge.holds(local)] = INDEX[wedge.name]
        if self.canal is not None:
            middle, depth, width = self.canal
            inside = ((local[..., 1] - middle) / depth) ** 2 + (local[..., 0] / width) ** 2 < 1
            labels[inside & (labels == 0)] = INDEX["canal"]
        affine = np.diag([-self.spacing[0], -self.spacing[1], self.spacing[2], 1.0])  # left, back and up in RAS+
        return labels, affine


def rotation(degrees: tuple[float, float, float]) -> Array:
    """The product of rotations about left, back and up."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, two = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = math.cos(angle)
        turn[one, two], turn[two, one] = -math.sin(angle), math.sin(angle)
        result = result @ turn
    return result


def box(name: str, low: float, high: float, front: float = -17.0, back: float = 17.0, wedge: float = 0.0) -> Wedge:
    """A body between two heights, its upper endplate turned by ``wedge`` degrees: lower in front if positive."""
    drop = math.tan(math.radians(wedge)) * (back - front) / 2
    return Wedge(name, np.array([[front, high - drop], [back, high + drop], [back, low], [front, low]]))


def tilted(wedge: Wedge, degrees: float) -> Wedge:
    """Turn a body in the sagittal plane about its centre so that its front sinks."""
    centre = wedge.corners.mean(axis=0)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return Wedge(wedge.name, (wedge.corners - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre)


GRIDS = [
    pytest.param({"spacing": (1.0, 1.0, 1.0)}, id="isotropic"),
    pytest.param({"spacing": (4.0, 1.0, 1.0), "turn": (4.0, 3.0, 2.0)}, id="sagittal slices"),
    pytest.param({"spacing": (4.0, 0.7, 0.7), "turn": (12.0, 8.0, 15.0)}, id="oblique to the slices"),
    pytest.param({"spacing": (1.0, 1.0, 1.5), "turn": (10.0, 5.0, 5.0)}, id="axial slices"),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_wedge_has_its_heights_angle_depth_width_and_volume(grid: dict[str, tuple[float, float, float]]) -> None:
    rows = Solid([box("L3", -14, 14, wedge=8.0), box("L4", -54, -26)], **grid).rows()  # type: ignore[arg-type]
    half = math.tan(math.radians(8.0)) * 17
    found = rows["L3"].figures
    # The endplate falls towards the front by 2 * half; heights are between corners, which lie above each other.
    expected = {
        "height_anterior_mm": 28 - half,
        "height_middle_mm": 28,
        "height_posterior_mm": 28 + half,
        "wedge_deg": 8.0,
        "width_mm": 46.0,
        "volume_ml": 34 * 28 * 46 / 1000,
    }
    slack = {"wedge_deg": 1.5, "volume_ml": 2.0, "width_mm": 0.25 + 0.75 * grid["spacing"][0]}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=slack.get(name, 0.8)), name
    assert found["depth_mm"] == pytest.approx((34 + 34 / math.cos(math.radians(8))) / 2, abs=0.8)
    assert rows["L4"].figures["wedge_deg"] == pytest.approx(0.0, abs=1.5)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("slip", [-3.0, 0.0, 7.0])
def test_disc_height_and_slip(grid: dict[str, tuple[float, float, float]], slip: float) -> None:
    upper = box("L4", 5, 33, front=-17 - slip, back=17 - slip)
    figures = Solid([upper, box("L5", -33, -5)], **grid).rows()["L4/L5"].figures  # type: ignore[arg-type]
    for at in ("anterior", "middle", "posterior"):
        assert figures[f"height_{at}_mm"] == pytest.approx(10.0, abs=0.8)
    assert figures["height_mm"] == pytest.approx(10.0, abs=0.6)
    assert figures["height_index"] == pytest.approx(10 / 28, abs=0.03)
    assert figures["slip_mm"] == pytest.approx(slip, abs=0.9)
    assert figures["slip_percent"] == pytest.approx(100 * slip / 34, abs=2.7)
    assert figures["angle_deg"] == pytest.approx(0.0, abs=2.0)


def column(angles: Sequence[float], names: Sequence[str] = ("L1", "L2", "L3", "L4", "L5")) -> list[Wedge]:
    """Bodies 38 mm apart along an arc, each tilted forwards by its angle."""
    wedges, place = [], np.array([0.0, 75.0])
    for number, (name, angle) in enumerate(zip(names, angles, strict=True)):
        if number:
            lean = math.radians((angle + angles[number - 1]) / 2)
            place = place + 38 * np.array([math.sin(lean), -math.cos(lean)])
        body = tilted(box(name, -14, 14), angle)
        wedges.append(Wedge(name, body.corners + place))
    return wedges


@settings(max_examples=5, phases=[Phase.generate])
@given(
    angles=st.tuples(*[st.floats(-5, 10)] * 4),
    turn=st.tuples(st.floats(-8, 8), st.floats(-6, 6), st.floats(-10, 10)),
    spacing=st.sampled_from([(4.0, 1.0, 1.0), (3.0, 0.8, 0.8), (1.5, 1.0, 1.5)]),
)
def test_segments_add_up_and_do_not_depend_on_how_the_patient_lies(
    angles: tuple[float, ...], turn: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    tilts = np.cumsum([-10.0, *angles])
    solid = Solid(column(tilts), spacing=spacing, turn=turn, size=(76.0, 150.0, 250.0))
    rows = solid.rows()
    # Four of the standard deviations that docs/measurements.md has for grids like these
    segmental, disc = (4 * 0.99, 4 * 1.48) if max(spacing[1:]) > 1 else (4 * 0.66, 4 * 0.65)
    for number, (upper, lower) in enumerate([("L1", "L2"), ("L2", "L3"), ("L3", "L4"), ("L4", "L5")]):
        figures = rows[f"{upper}/{lower}"].figures
        assert figures["segmental_angle_deg"] == pytest.approx(angles[number], abs=segmental)
        assert figures["angle_deg"] == pytest.approx(angles[number], abs=disc)
    total = sum(rows[f"L{n}/L{n + 1}"].figures["segmental_angle_deg"] for n in range(1, 5))
    assert total == pytest.approx(sum(angles), abs=segmental)


@pytest.mark.parametrize("sacral", [25.0, 45.0])
def test_lordosis_from_l1_to_the_sacrum(sacral: float) -> None:
    *bodies, last = column([-12.0, -6.0, 2.0, 12.0, 22.0, sacral], ["L1", "L2", "L3", "L4", "L5", "S"])
    corners = last.corners.copy()
    corners[2:] += 3 * (corners[2:] - corners[1::-1])  # the sacrum reaches far down
    rows = Solid([*bodies, Wedge("S", corners, 46)], size=(76.0, 260.0, 330.0), turn=(3, 3, 3)).rows()
    assert rows["L1-S1"].figures["lordosis_deg"] == pytest.approx(sacral + 12, abs=2.0)
    assert rows["L5/S"].figures["segmental_angle_deg"] == pytest.approx(sacral - 22, abs=2.0)
    assert rows["S"].figures["depth_mm"] == pytest.approx(34.0, abs=1.0)


@pytest.mark.parametrize("grid", GRIDS[:3])
def test_the_canal_has_its_depth_in_its_middle(grid: dict[str, tuple[float, float, float]]) -> None:
    solid = Solid([box("L3", 5, 33), box("L4", -33, -5)], canal=(28.0, 8.5, 12.0), **grid)  # type: ignore[arg-type]
    rows = solid.rows()
    for level in ("L3", "L3/L4", "L4"):
        assert rows[level].figures["canal_ap_mm"] == pytest.approx(17.0, abs=0.9), level


def test_a_whole_vertebra_is_measured_at_its_body() -> None:
    body = Solid([box("L3", 5, 33), box("L4", -33, -5)], turn=(2, 2, 2))

    def arch(labels: NDArray[np.uint8]) -> None:
        for name, up in (("L3", 19), ("L4", -19)):
            side, back, height = labels.shape[0] // 2, labels.shape[1] // 2, labels.shape[2] // 2 + up
            labels[side - 1 : side + 2, back + 36 : back + 52, height - 14 : height + 2] = INDEX[
                name
            ]  # spinous process
            for pedicle in (side - 4, side + 3):
                labels[pedicle, back + 15 : back + 38, height : height + 8] = INDEX[name]

    whole = Solid(body.wedges, turn=(2, 2, 2), paint=arch).rows()
    for level, row in body.rows().items():
        for name, value in row.figures.items():
            if name not in ("volume_ml", "width_mm"):
                assert whole[level].figures[name] == pytest.approx(value, abs=0.6), (level, name)


def test_what_the_field_of_view_cuts_off_is_flagged_and_not_measured() -> None:
    rows = Solid([box("L3", 5, 33), box("L4", -33, -5)], size=(70.0, 110.0, 52.0)).rows()
    assert rows["L3"].flags == ("cut off by the field of view",)
    assert not rows["L3"].figures
    assert rows["L3/L4"].flags == ("L3 is not measured",)
    narrow = Solid([box("L3", 5, 33), box("L4", -33, -5)], size=(40.0, 110.0, 90.0)).rows()["L4"]
    assert narrow.flags == ("cut off at the side",)
    assert math.isnan(narrow.figures["width_mm"])
    assert math.isnan(narrow.figures["volume_ml"])
    assert narrow.figures["height_middle_mm"] == pytest.approx(28, abs=0.8)


def test_a_single_slice_has_heights_but_no_width() -> None:
    row = Solid([box("L3", -14, 14)], spacing=(4.0, 1.0, 1.0), size=(4.0, 110.0, 100.0), shift=(0, 0.2, 0.1)).rows()[
        "L3"
    ]
    assert row.figures["height_middle_mm"] == pytest.approx(28, abs=0.8)
    assert math.isnan(row.figures["width_mm"])


def test_vertebrae_with_one_missing_between_them_have_no_disc() -> None:
    assert set(Solid([box("L2", 45, 73), box("L4", -33, -5)], size=(70, 110, 190)).rows()) == {"L2", "L4"}


def test_a_volume_upside_down_is_refused_and_a_mirrored_one_flagged() -> None:
    solid = Solid([box("L3", 5, 33), box("L4", -33, -5)], canal=(28.0, 8.5, 12.0))
    labels, affine = solid.sampled()
    with pytest.raises(DataError, match="L4 lies above L3: the volume is upside down; repair its affine"):
        measure_volume(labels, affine @ np.diag([1, 1, -1, 1]), SCHEME)
    mirrored = {row.level: row for row in measure_volume(labels, affine @ np.diag([1, -1, 1, 1]), SCHEME)}
    assert "the canal lies in front of the bodies: the volume is mirrored" in mirrored["L3"].flags


def test_the_signal_of_a_disc_over_the_fluid() -> None:
    solid = Solid([box("L3", 5, 33), box("L4", -33, -5)], canal=(28.0, 8.5, 12.0))
    labels, affine = solid.sampled()
    between = Wedge("L3/L4", np.array([[-16.0, 5], [16, 5], [16, -5], [-16, -5]]), 40.0)
    disc = Solid([between]).sampled()[0] > 0
    labels[disc] = INDEX["L3/L4"]
    image = np.where(labels == INDEX["canal"], 200.0, 50.0)
    image[disc] = 90.0
    rows = {row.level: row for row in measure_volume(labels, affine, SCHEME, image)}
    assert rows["L3/L4"].figures["signal_ratio"] == pytest.approx(0.45)
    assert rows["L3/L4"].figures["volume_ml"] == pytest.approx(32 * 10 * 40 / 1000, abs=0.7)
