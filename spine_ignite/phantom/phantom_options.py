"""What a phantom shows: contrast, field of view, how much anatomy varies, and the scheme of its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from spine_ignite.errors import UsageError

Contrast = Literal["t1", "t2", "stir", "pd", "water", "random", "mixed"]
View = Literal["lumbar", "any"]
Scheme = Literal["mrspineseg", "spine"]


@dataclass(frozen=True)
class PhantomOptions:
    """What a phantom shows.

    Args:
        contrast: T1-, T2- or proton-density-weighted, ``stir``, the ``water`` image of a Dixon scan, ``random`` signals
            of the tissues, or ``mixed``: one of these, drawn for each case.
        view: ``lumbar`` always shows the upper sacrum and ends above T11; ``any`` shows four vertebrae to the whole
            thoracolumbar spine.
        variety: 0 for plain anatomy, a small range of scans and no disease but worn discs, to 1, where variants, slips,
            fractures and scoliosis occur as often as ``people.RATES`` says.
        scheme: of the labels; what has no class in it is background.

    Raises:
        UsageError: there is no such contrast, view or scheme, or the variety is outside 0 … 1.
    """

    contrast: Contrast = "t2"
    view: View = "lumbar"
    variety: float = 0.0
    scheme: Scheme = "mrspineseg"

    def __post_init__(self) -> None:
        for name, allowed in (("contrast", Contrast), ("view", View), ("scheme", Scheme)):
            value = getattr(self, name)
            if value not in get_args(allowed):
                raise UsageError(
                    f"there is no {name} '{value}' of phantoms; choose one of {', '.join(get_args(allowed))}"
                )
        if not 0 <= self.variety <= 1:
            raise UsageError(f"the variety of phantoms lies between 0 and 1, not {self.variety}")


VARIED = PhantomOptions("mixed", "any", 1.0, "spine")
"""What a network that is to know any scan learns from."""
