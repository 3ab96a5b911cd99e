"""Which clean-up a run's predictions get: the one learned on its validation cases, else its configuration's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from spine_ignite.config import load_config
from spine_ignite.config.postprocess import check_step
from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import write_text
from spine_ignite.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Trial:
    """A step that was tried.

    Args:
        step: its name; of ``components`` and ``holes`` with the classes that it helps.
        before: mean 3D Dice of the validation cases without it.
        after: the same with it.
        kept: whether it helps.
    """

    step: str
    before: float
    after: float
    kept: bool


def steps_of_run(run: RunDirectory) -> tuple[str, ...]:
    """Return the steps in the run's ``postprocess.json``, or without one those of its configuration.

    Raises:
        RunError: the file is damaged.
    """
    if not run.postprocess.is_file():
        return load_config(run.config).predict.postprocess
    try:
        return tuple(check_step(step) for step in json.loads(run.postprocess.read_text(encoding="utf-8"))["steps"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise RunError(
            f"{run.postprocess} cannot be read ({error}); make it again with: spine-ignite postprocess {run.root}"
        ) from error


def write_learned(run: RunDirectory, trials: Sequence[Trial], cases: Sequence[str]) -> None:
    """Write the run's ``postprocess.json``: the steps to take, and on what they were tried."""
    record = {
        "steps": [trial.step for trial in trials if trial.kept],
        "trials": [asdict(trial) for trial in trials],
        "cases": list(cases),
    }
    write_text(run.postprocess, json.dumps(record, indent=2) + "\n")
