"""The column of one synthetic person: its curve, its levels, and coordinates along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

# From the sacrum up: L5 L4 L3 L2 L1 T12 T11 T10 T9; typical adult sizes in mm.
BODY_HEIGHT = np.array([27.5, 27.5, 28.0, 27.5, 26.5, 25.0, 23.0, 22.0, 21.0])
BODY_DEPTH = np.array([35.0, 35.5, 35.0, 34.0, 33.0, 32.0, 31.0, 30.0, 29.0])
BODY_WIDTH = np.array([51.0, 49.0, 46.0, 44.0, 42.0, 41.0, 39.0, 37.0, 35.0])
# The disc below each of these: L5/S L4/L5 … T9/T10.
DISC_HEIGHT = np.array([9.0, 11.0, 10.5, 9.5, 8.5, 7.0, 6.0, 5.5, 5.0])
# Angle of the column's tangent against the vertical at the middle of each body, degrees; forwards is positive.
LORDOSIS = np.array([24.0, 11.0, 1.0, -6.0, -10.0, -11.0, -9.0, -6.0, -3.0])
SACRUM_LENGTH = 95.0
SACRUM_DEPTH = 30.0


@dataclass(frozen=True)
class Spine:
    """A column in curved coordinates: ``s`` mm upwards from the sacral endplate, ``v`` mm backwards from its middle.

    Args:
        bounds: ``s`` of the borders of L5/S, L5, L4/L5, L4 … T9, ascending, 19 values.
        depth: front-to-back size of each body, mm.
        width: left-to-right size of each body, mm.
        degeneration: of the disc below each body, 0 (healthy) to 1.
        bulge: of each disc beyond the bodies, mm.
        curve: points ``(z, y)`` of the column in mm, up and to the back, at ``arc``.
        arc: ``s`` of the points.
        sideways: scoliosis: shift to the left in mm at ``arc``.
        conus: ``s`` at which the cord ends.
    """

    bounds: Array
    depth: Array
    width: Array
    degeneration: Array
    bulge: Array
    curve: Array
    arc: Array
    sideways: Array
    conus: float

    def coordinates(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return ``s``, ``v`` and the scoliotic shift at points ``(z, y)`` of the sagittal plane, mm."""
        points = np.stack([z.ravel(), y.ravel()], axis=1)
        nearest = cKDTree(self.curve).query(points)[1]
        tangent = np.gradient(self.curve, self.arc, axis=0)[nearest]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        offset = points - self.curve[nearest]
        along = (offset * tangent).sum(axis=1)
        # The normal that points to the back: the tangent (z, y) turned towards +y.
        behind = -offset[:, 0] * tangent[:, 1] + offset[:, 1] * tangent[:, 0]
        s = self.arc[nearest] + along
        return s.reshape(z.shape), behind.reshape(z.shape), self.sideways[nearest].reshape(z.shape)


def draw_spine(rng: np.random.Generator) -> Spine:
    """Draw a person: size, curvature, degeneration, scoliosis."""
    scale = rng.uniform(0.9, 1.08)
    height = BODY_HEIGHT * scale * rng.normal(1, 0.025, 9)
    discs = DISC_HEIGHT * scale * rng.normal(1, 0.06, 9)
    # The lower the disc, the more often it is worn.
    worn = np.clip(rng.beta(0.9, 1.6, 9) * np.linspace(1.25, 0.6, 9), 0, 1)
    discs *= 1 - 0.4 * worn**2
    bounds = np.concatenate([[0.0], np.cumsum(np.stack([discs, height], axis=1).ravel())])
    arc = np.arange(-SACRUM_LENGTH * scale - 60, bounds[-1] + 120, 0.5)
    curve = _curve(rng, bounds, arc, scale)
    phase, waves = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.4)
    sideways = rng.uniform(0, 5) * np.sin(phase + waves * 2 * np.pi * arc / (bounds[-1] + 1))
    return Spine(
        bounds=bounds,
        depth=BODY_DEPTH * scale * rng.normal(1, 0.03, 9),
        width=BODY_WIDTH * scale * rng.normal(1, 0.03, 9),
        degeneration=worn,
        bulge=rng.uniform(0, 1.2, 9) + 3.0 * worn**2 * rng.uniform(0, 1, 9),
        curve=curve,
        arc=arc,
        sideways=sideways - np.interp(0.4 * bounds[-1], arc, sideways),
        conus=float(bounds[10] + rng.uniform(-15, 20)),  # about L1
    )


def _curve(rng: np.random.Generator, bounds: Array, arc: Array, scale: float) -> Array:
    """Integrate the tangent's angle along the column; the origin is the middle of the sacral endplate."""
    middles = (bounds[1::2] + bounds[2::2]) / 2
    angles = LORDOSIS * rng.uniform(0.6, 1.35) + rng.normal(0, 1.5, 9) + rng.normal(0, 3)
    sacral = rng.uniform(32, 50)
    # Below the endplate the column leans back more and more: the sacrum; then it curls forwards to the coccyx.
    low = np.array([-130.0, -95.0, -55.0, -15.0]) * scale
    low_angles = np.array([-20.0, 10.0, sacral + 12, sacral])
    spline = CubicSpline(np.concatenate([low, middles]), np.concatenate([low_angles, angles]), bc_type="natural")
    theta = np.radians(np.clip(spline(arc), -60, 75))
    theta[arc > middles[-1]] = np.interp(middles[-1], arc, theta)
    step = arc[1] - arc[0]
    z = np.cumsum(np.cos(theta)) * step
    y = -np.cumsum(np.sin(theta)) * step
    origin = int(np.searchsorted(arc, 0.0))
    return np.stack([z - z[origin], y - y[origin]], axis=1)
