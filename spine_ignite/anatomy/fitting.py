"""Smooth surfaces through border points: quadratic, and robust against what does not belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_ignite.anatomy.frames import Array

_ROUNDS = 12
_TUKEY = 4.685  # 95 % efficient for normal errors: Beaton and Tukey, Technometrics 1974
_SMALLEST = 0.2  # mm; a fit is never trusted to be better than this
_FEWEST = 5  # points that a surface is fitted to


@dataclass(frozen=True)
class Surface:
    """``height = a + b t + c t² + d w + e w²`` with ``t`` along the mid-sagittal plane and ``w`` across it.

    Args:
        coefficients: a to e.
        centre: ``t`` is measured from here.
        rms: root mean square of the residuals of the points that count, mm.
    """

    coefficients: tuple[float, float, float, float, float]
    centre: float
    rms: float

    def at(self, t: float) -> float:
        """Height in the mid-sagittal plane."""
        a, b, c, _, _ = self.coefficients
        x = t - self.centre
        return a + b * x + c * x * x

    @property
    def slope(self) -> float:
        """Slope along the mid-sagittal plane, in the middle of the points."""
        return self.coefficients[1]

    @property
    def tilt(self) -> float:
        """Slope across the mid-sagittal plane."""
        return self.coefficients[3]


def fit_surface(t: Array, w: Array, height: Array, curved: bool = False, across: bool = False) -> Surface | None:
    """Fit a surface by iteratively reweighted least squares with Tukey's biweight.

    Args:
        t: along the mid-sagittal plane, mm ``(N,)``.
        w: across it, mm from the plane; a slope across needs points on both sides, a curvature also between them.
        height: what is fitted, mm.
        curved: whether it is curved along ``t``.
        across: whether it is curved along ``w``.

    Returns:
        The surface; None if there are too few points.
    """
    if t.size < _FEWEST or np.ptp(t) < 1.0:
        return None
    centre = float(t.mean())
    x = t - centre
    design = np.stack([np.ones_like(x), x, x**2, w, w**2], axis=1)
    used = [0, 1, *([2] if curved else []), *_across(w, across)]
    weights, solution, residual = np.ones_like(x), np.zeros(5), np.zeros_like(x)
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        solution[used] = np.linalg.lstsq(design[:, used] * root[:, None], height * root, rcond=None)[0]
        residual = height - design @ solution
        scale = max(1.4826 * float(np.median(np.abs(residual))), _SMALLEST)
        weights = np.clip(1 - (residual / (_TUKEY * scale)) ** 2, 0, 1) ** 2
    rms = float(np.sqrt((weights * residual**2).sum() / max(float(weights.sum()), 1e-9)))
    a, b, c, d, e = (float(value) for value in solution)
    return Surface((a, b, c, d, e), centre, rms)


def _across(w: Array, curved: bool) -> list[int]:
    """Slope and curvature across the plane, as far as the points reach to both sides of it."""
    left, right = float(w.max(initial=0)), float(-w.min(initial=0))
    if min(left, right) < 1.0:
        return []
    inner = bool((np.abs(w) < 0.5 * max(left, right)).any())
    return [3, 4] if curved and inner else [3]
