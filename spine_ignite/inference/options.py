"""How label volumes are made: what ``predict`` and ``evaluate`` have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spine_ignite.errors import UsageError

if TYPE_CHECKING:
    from spine_ignite.config.data import DataConfig, NanRule

CHECKPOINTS = ("best", "last")
Window = tuple[int, int] | Literal["whole"] | None


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How label volumes are made; what is None each run's own configuration decides (its section ``predict``).

    Args:
        ensemble: further runs, or folders of runs; the probabilities of all networks are averaged.
        checkpoints: of each run, ``best``, ``last`` or both, which are then averaged too; of a single run also files,
            as ``spine-ignite export`` writes.
        tta: test-time augmentation, see :mod:`spine_ignite.inference.views`.
        window: rows and columns of a sliding window in pixels of the run's spacing, or ``whole`` for whole slices. By
            default a run that was trained on patches slides one patch, others see whole slices.
        overlap: of neighbouring windows, from 0 to below 1.
        postprocess: steps of the clean-up; by default those of the first run, learned or configured.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``.
        batch_size: slices, or windows, in a batch.
        orientation: of files that say nothing about it, as ``PSR``; by default they are refused.
        nan: of NaN in images, ``refuse``, or ``border``: what is outside the field of view.
        risk: probability of a wrong column among those whose levels are accepted, at most.

    Raises:
        UsageError: a value that cannot be.
    """

    ensemble: tuple[Path, ...] = ()
    checkpoints: tuple[str, ...] = ("best",)
    tta: bool | None = None
    window: Window = None
    overlap: float | None = None
    postprocess: tuple[str, ...] | None = None
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 8
    orientation: str | None = None
    nan: NanRule = "refuse"
    risk: float | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.checkpoints if name not in CHECKPOINTS and not Path(name).suffix]
        if unknown or not self.checkpoints:
            raise UsageError(f"checkpoints are 'best', 'last' or files, got {list(self.checkpoints)}")
        if isinstance(self.window, tuple) and min(self.window) < 1:
            raise UsageError(f"a window has at least one row and one column, got {list(self.window)}")
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise UsageError(f"the overlap of windows is from 0 to below 1, got {self.overlap:g}")
        if self.orientation is not None:
            from spine_ignite.config.data import check_orientation  # options are made where nothing else is loaded

            try:
                object.__setattr__(self, "orientation", check_orientation(self.orientation))
            except ValueError as error:
                raise UsageError(f"the orientation {error}") from error
        if self.risk is not None and not 0 < self.risk < 0.5:
            raise UsageError(f"a risk is a probability above 0 and below 0.5, got {self.risk:g}")
        if self.batch_size < 1:
            raise UsageError(f"a batch has at least one slice, got {self.batch_size}")

    def on(self, data: DataConfig) -> InferenceOptions:
        """Return options that read a configuration's dataset as the training does, unless they say otherwise."""
        nan = data.nan if self.nan == "refuse" else self.nan
        return replace(self, orientation=self.orientation or data.orientation, nan=nan)
