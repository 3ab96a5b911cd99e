"""Synthetic cases that are mixed into training as it goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.config.section import PositiveInt, Section


class PhantomConfig(Section):
    """What the synthetic cases of ``data.phantoms`` show, and how much of each is used."""

    contrast: str = Field("mixed", description="t1, t2, stir, pd, water, random, or mixed: one of these for each")
    view: str = Field("any", description="lumbar, or any: four vertebrae to the whole thoracolumbar spine")
    variety: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        1.0, description="0: plain anatomy, to 1: variants, degeneration, fractures, slips and scoliosis"
    )
    slices: PositiveInt = Field(4, description="of each case, evenly apart: the rows that it takes of its batch")
