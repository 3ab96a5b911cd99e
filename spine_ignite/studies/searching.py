"""A search for hyper-parameters: workers on this machine, and what they found."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spine_ignite.config import dump_config
from spine_ignite.errors import RunError
from spine_ignite.files import write_atomically, write_text
from spine_ignite.machine.at_once import Ended, Task, run_at_once, spine_ignite_command, visible_devices
from spine_ignite.names import FIGURE_SETTINGS
from spine_ignite.studies.making import Study
from spine_ignite.studies.study_directory import study_command
from spine_ignite.studies.trials import (
    open_search,
    require_search,
    require_values,
    searched_config,
    trial_config,
    trial_run,
)

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        monitor: the figure that was looked at.
        trials: of each its number, state, best figure (None: pruned or failed) and what was tried, the best first.
        signal: the signal that stopped it, or None.
    """

    monitor: str
    trials: tuple[dict[str, Any], ...]
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """0; 130 after Ctrl-C, 143 after SIGTERM."""
        return 0 if self.signal is None else 128 + self.signal


def search_study(
    study: Study, *, at_once: int | None = None, devices: Sequence[str] | None = None, echo: Echo = print
) -> Found:
    """Search, with so many workers at once, until all trials are done; then write tables and plots.

    Further workers may join on other machines that share the folder, by the same command.

    Args:
        study: the study, which declares what is searched.
        at_once: how many workers; default: one for each GPU, or one.
        devices: GPUs to hand out; default: those that are there.
        echo: takes the lines that tell how it goes.

    Raises:
        UsageError: the study declares no search, or one of keys or values that cannot be.
        RunError: optuna is not installed, a worker ended in an error, or files cannot be written.
    """
    section = require_search(study)
    require_values(study)
    open_search(study)
    directory, gpus = study.directory, visible_devices() if devices is None else tuple(devices)
    count = at_once if at_once is not None else max(1, len(gpus))
    tasks = [
        Task(
            f"worker{number}",
            spine_ignite_command("study", "worker", directory.root),
            directory.search / "logs" / f"worker{number}.log",
        )
        for number in range(min(count, section.trials))
    ]
    failed: list[Ended] = []
    stopping = run_at_once(
        tasks,
        count,
        gpus,
        on_start=lambda task, device: echo(f"Begins: {task.name}{f' on GPU {device}' if device else ''}; {task.log}"),
        on_end=lambda ended: failed.append(ended) if ended.code and not ended.was_stopped else None,
    )
    if failed:
        raise RunError(
            f"{failed[0].task.name} of the search {failed[0]}; see {failed[0].task.log}; go on with: "
            f"{study_command('search', directory.root)}"
        )
    found = found_trials(study, stopping)
    if stopping is None:
        _write(study, found)
    return found


def found_trials(study: Study, stopping: int | None = None) -> Found:
    """Return what was tried until now.

    Raises:
        RunError: there is no search yet, or optuna is not installed.
    """
    search = open_search(study)
    sign = -1.0 if search.direction.name == "MAXIMIZE" else 1.0
    trials = sorted(search.trials, key=lambda trial: (trial.value is None, sign * (trial.value or 0.0), trial.number))
    rows = tuple(
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "epochs": len(trial.intermediate_values),
            "params": dict(trial.params),
            "run": str(trial_run(study, trial.number).root),
        }
        for trial in trials
    )
    return Found(trial_config(study, {}).train.monitor, rows, stopping)


def _write(study: Study, found: Found) -> None:
    folder = study.directory.search
    record = {"monitor": found.monitor, "trials": list(found.trials)}
    write_text(folder / "trials.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    best = found.trials[0]
    if best["value"] is None:
        return
    write_text(folder / "best.yaml", dump_config(searched_config(study, best["params"])))
    _draw(study, found)


def _draw(study: Study, found: Found) -> None:
    """Draw the course of the search, the courses of its trials, and each key against the figure."""
    import matplotlib
    import matplotlib.pyplot
    import optuna
    from matplotlib.figure import Figure
    from optuna.visualization import matplotlib as plots

    search, label = open_search(study), found.monitor
    wanted: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(search, target_name=label),
        "trials": lambda: plots.plot_intermediate_values(search),
        "keys": lambda: plots.plot_slice(search, target_name=label),
    }
    with warnings.catch_warnings(), matplotlib.rc_context({**FIGURE_SETTINGS, "backend": "agg"}):
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name, draw in wanted.items():
            axes = draw()
            figure: Figure = getattr(axes, "figure", None) or axes.flat[0].figure
            with write_atomically(study.directory.search / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=200, bbox_inches="tight")
            matplotlib.pyplot.close(figure)
