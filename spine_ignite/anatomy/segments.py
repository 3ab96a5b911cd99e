"""Between two neighbouring vertebrae, or the last one and the sacrum: disc height, slip, angles."""

from __future__ import annotations

import math

import numpy as np

from spine_ignite.anatomy.frames import Array, Frame, signed_angle, unit
from spine_ignite.anatomy.vertebral_body import Body, Endplate

Figures = dict[str, float]
_POINTS = ("front", "middle", "back")


def body_figures(body: Body) -> Figures:
    """Heights, wedge, depth and width of a vertebral body.

    Anterior and posterior height are the distances of the corners, middle height that of the endplates halfway between
    them: the six points of vertebral morphometry (Black et al., J Bone Miner Res 1995; Genant et al., J Bone Miner Res
    1993, from whose ratios no grade is derived here). The wedge is the angle between the straight lines through
    either endplate, positive if the body is lower in front. The depth is the mean of both endplates'.
    """
    upper, lower = body.upper, body.lower
    front, middle, back = (_distance(getattr(upper, at), getattr(lower, at)) for at in _POINTS)
    return {
        "height_anterior_mm": front,
        "height_middle_mm": middle,
        "height_posterior_mm": back,
        "ratio_anterior_posterior": front / back,
        "ratio_middle_posterior": middle / back,
        "wedge_deg": signed_angle(lower.direction, upper.direction, body.frame.left),
        "depth_mm": (upper.depth + lower.depth) / 2,
        "depth_middle_mm": body.depth_middle,
        "width_mm": body.width,
    }


def segment_figures(above: Body, below: Body | Endplate) -> Figures:
    """Disc height, slip and angles between a body and what it stands on, a body or the endplate of S1.

    The height of the disc is that between the endplates, perpendicular to the bisector of the lines through
    them, in front, halfway and behind, so that a slip does not add to it (Frobin et al., Clin Biomech 1997, whose
    bisector is that of the mid-planes of the vertebrae; here it is that of the endplates, since S1 has no lower one),
    and the mean of the three. The index is that mean over the mean height, likewise of three, of the two bodies, of the
    upper one alone above the sacrum (Masuda et al., Spine 2005).

    The slip is how far the posterior lower corner of the upper body lies in front of the posterior upper corner of the
    lower one, along the latter's endplate; in per cent of that endplate's depth (Taillard, Acta Orthop Scand 1954);
    Meyerding's grades (Surg Gynecol Obstet 1932) are its quarters. Backwards it is negative.

    The disc's angle is that between the two endplates, the segment's from upper endplate to upper endplate; both are
    positive in lordosis, and the segments from L1 on add up to the lordosis.
    """
    top, bottom = above.lower, below if isinstance(below, Endplate) else below.upper
    along = unit(top.direction + bottom.direction)
    normal = unit(np.cross(above.frame.left, along))
    normal = normal * (np.sign(normal @ above.frame.up) or 1.0)
    front, middle, back = (float((getattr(top, at) - getattr(bottom, at)) @ normal) for at in _POINTS)
    height = (front + middle + back) / 3
    slip = float((bottom.back - top.back) @ bottom.direction)
    bodies = [above] if isinstance(below, Endplate) else [above, below]
    return {
        "height_anterior_mm": front,
        "height_middle_mm": middle,
        "height_posterior_mm": back,
        "height_mm": height,
        "height_index": height / (sum(_mean_height(body) for body in bodies) / len(bodies)),
        "slip_mm": slip,
        "slip_percent": 100 * slip / bottom.depth,
        "angle_deg": signed_angle(top.direction, bottom.direction, above.frame.left),
        "segmental_angle_deg": signed_angle(above.upper.direction, bottom.direction, above.frame.left),
        "depth_mm": (top.depth + bottom.depth) / 2,
    }


def lordosis(first: Body, sacrum: Endplate, left: Array) -> float:
    """Cobb angle in degrees from the upper endplate of L1 to that of S1 in the sagittal plane; lordosis is positive.

    Cobb, Instr Course Lect 1948, on sagittal views, between L1 and S1 as in Vialle et al., J Bone Joint Surg Am 2005.
    Lying in the scanner it is not what it is standing.
    """
    return signed_angle(first.upper.direction, sacrum.direction, left)


def segment_frame(above: Body, below: Body | Endplate) -> Frame:
    """A frame in the middle of a disc, up along the normal of the bisector of its endplates."""
    top, bottom = above.lower, below if isinstance(below, Endplate) else below.upper
    along = unit(top.direction + bottom.direction)
    left = above.frame.left
    middle = (top.front + top.back + bottom.front + bottom.back) / 4
    return Frame.upright(middle, np.cross(left, along), left)


def _mean_height(body: Body) -> float:
    return math.fsum(_distance(getattr(body.upper, at), getattr(body.lower, at)) for at in _POINTS) / 3


def _distance(one: Array, two: Array) -> float:
    return float(np.linalg.norm(one - two))
