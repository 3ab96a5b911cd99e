"""What each kind of evidence counts for when a column is named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# The model's number. It is raised by whoever changes the model, the reasons, the laws or the traits: what was named or
# calibrated by another one is made anew, and not certified before.
NAMING = 3


@dataclass(frozen=True, slots=True)
class Weights:
    """Exponents of the terms and what is unlikely at what price (natural logarithms of odds).

    Names of a column's vertebrae err together: a network that takes one vertebra for the next does so with all. So
    their evidence is added up with an exponent below 1, divided by a power of their number.

    Args:
        names: exponent of a vertebra's pooled class probability.
        alone: the same in a scheme without discs and sacrum, where nothing else tells the level.
        discs: exponent of a disc's.
        shared: power of the number of pieces by which exponents are divided: 0 where the names of all err
            independently, 1 where they err together.
        floor: class probability that is always left for what the network does not think of.
        missed: of a vertebra in the field of view that was not found.
        false: of a piece of the usual size that is no vertebra.
        merged: of a piece that is two vertebrae.
        distance: standard deviation of the distance of neighbours, in usual distances.
        sacrum: standard deviation of the distance between the sacrum and the vertebra on it, in usual distances.
        stray: probability that the distance of neighbours, or a length, says nothing at all.
        odd_sacrum: probability that the place of what is called the sacrum says nothing.
        ribs: exponent of the volume of a rib that is seen on a side of a vertebra.
        rib_even: ml that speak neither for nor against a rib.
        rib_most: of one side, for or against it.
    """

    names: float = 0.4
    alone: float = 1.5
    discs: float = 0.5
    shared: float = 0.8
    floor: float = 0.01
    missed: float = 4.0
    false: float = 7.0
    merged: float = 4.5
    distance: float = 0.18
    sacrum: float = 0.25
    stray: float = 0.0001
    odd_sacrum: float = 0.02
    ribs: float = 1.0
    rib_even: float = 0.4
    rib_most: float = 2.0

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Weights:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{name: float(value) for name, value in data.items()})


def naming_settings() -> dict[str, Any]:
    """Return what determines names, as it is recorded beside them: the model's number, and its weights."""
    return {"model": NAMING, **Weights().to_dict()}
