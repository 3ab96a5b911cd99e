"""The options of ``predict`` and ``evaluate`` that say how label volumes are made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spine_ignite.cli.options import READING_OPTIONS, postprocess_option, postprocessing
from spine_ignite.errors import UsageError
from spine_ignite.inference.options import InferenceOptions

if TYPE_CHECKING:
    from spine_ignite.config.data import NanRule

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--checkpoint",
        "checkpoints",
        multiple=True,
        default=("best",),
        show_default=True,
        metavar="best|last|FILE",
        help="Of each run; several are averaged. A FILE is a checkpoint, or what `spine-ignite export` wrote.",
    ),
    click.option(
        "--ensemble",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="RUN",
        help="Average with this run, or folder of runs; may be repeated.",
    ),
    click.option(
        "--tta/--no-tta",
        default=None,
        help="Test-time augmentation: average several views of each slice. Default: predict.tta of each run.",
    ),
    click.option(
        "--window",
        type=(click.IntRange(1), click.IntRange(1)),
        metavar="H W",
        help="Slide a window of H x W pixels of the run's spacing. Default: predict.window of each run, else the patch "
        "it was trained on.",
    ),
    click.option("--whole-slices", is_flag=True, help="No window, also for a run trained on patches."),
    click.option(
        "--overlap",
        type=click.FloatRange(0, 1, max_open=True),
        help="Of neighbouring windows. Default: predict.overlap of each run.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
    click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True),
    click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Slices in a batch."),
    postprocess_option,
    click.option(
        "--risk",
        type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
        metavar="SHARE",
        help="Of wrong columns among those whose levels are accepted, at most. Default: predict.risk of the run.",
    ),
    *READING_OPTIONS,
)


def inference_options(function: Command) -> Command:
    """Add the options, passed together as ``options``, an ``InferenceOptions``."""

    @functools.wraps(function)
    def gathered(
        *,
        window: tuple[int, int] | None,
        whole_slices: bool,
        postprocess: tuple[str, ...],
        checkpoints: tuple[str, ...],
        ensemble: tuple[Path, ...],
        tta: bool | None,
        overlap: float | None,
        device: str,
        precision: str,
        batch_size: int,
        orientation: str | None,
        nan: NanRule,
        risk: float | None,
        **others: Any,
    ) -> Any:
        if whole_slices and window is not None:
            raise UsageError("give --window or --whole-slices, not both")
        options = InferenceOptions(
            ensemble=ensemble,
            checkpoints=checkpoints,
            tta=tta,
            window="whole" if whole_slices else window,
            overlap=overlap,
            postprocess=postprocessing(postprocess),
            device=device,
            precision=precision,
            batch_size=batch_size,
            orientation=orientation,
            nan=nan,
            risk=risk,
        )
        return function(options=options, **others)

    command: Any = gathered
    for option in reversed(_OPTIONS):
        command = option(command)
    return command  # type: ignore[no-any-return]
