"""Trials of a search for hyper-parameters: who tries what is agreed on by a journal file that all workers share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, SpineIgniteError, UsageError, reason
from spine_ignite.files import guard, open_to_append
from spine_ignite.runs.directory import RunDirectory, read_rows
from spine_ignite.studies.at_work import claim, wait_for_lock
from spine_ignite.studies.declaration import SearchSection, SearchSpace
from spine_ignite.studies.making import Study, load_study
from spine_ignite.studies.standing import best_of
from spine_ignite.studies.study_directory import method_name
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.monitor import Monitor
from spine_ignite.tuning.start import train_or_resume

if TYPE_CHECKING:
    import optuna

NAME = "search"
PRUNED = "pruned"  # attribute of a trial that was given up
Echo = Callable[[str], None]


class Pruning:
    """Reports each epoch's monitored figure to Optuna, and ends a training that the pruner gives up.

    Args:
        trial: of the search.
        monitor: reads the figure.
        prunes: whether any is given up.

    Attributes:
        pruned: whether this one was.
    """

    def __init__(self, trial: optuna.Trial, monitor: Monitor, prunes: bool) -> None:
        self.trial = trial
        self.monitor = monitor
        self.prunes = prunes
        self.pruned = False

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self, engine: Engine) -> None:
        """Take an epoch's record."""
        value, epoch = self.monitor.value(engine.state.metrics), int(engine.state.epoch)
        if value is None:
            return
        if epoch not in self.trial.study.trials[self.trial.number].intermediate_values:  # a resumed one comes again
            self.trial.report(value, epoch)
        if self.prunes and self.trial.should_prune():
            self.pruned = True
            self.trial.set_user_attr(PRUNED, True)  # whatever becomes of this process before the trial is told
            engine.terminate()


def require_search(study: Study) -> SearchSection:
    """Return what a study searches.

    Raises:
        UsageError: it declares no search, or one that cannot be.
    """
    section = study.declaration.search
    if section is None:
        raise UsageError(f"{study.directory.declaration} declares no search; see docs/studies.md")
    if section.fold >= study.declaration.folds:
        raise UsageError(f"search.fold is {section.fold}, but the folds are 0 to {study.declaration.folds - 1}")
    return section


def trial_config(study: Study, params: dict[str, Any]) -> RunConfig:
    """Return the configuration of a trial: the searched model's under the first setting, with what is tried.

    Raises:
        UsageError: a key or value is wrong.
    """
    section = require_search(study)
    return study.varied(searched_config(study, params), section.fold, section.seed)


def searched_config(study: Study, params: dict[str, Any]) -> RunConfig:
    """Return the configuration of the searched model with what is tried, for any fold and seed.

    Raises:
        UsageError: a key or value is wrong.
    """
    model = require_search(study).model or study.declaration.models[0].name
    method = method_name(model, next(iter(study.declaration.settings)))
    return load_config(study.directory.config(method), params)


def open_search(study: Study) -> optuna.Study:
    """Open the journal that all workers of a search share, or begin it.

    Raises:
        RunError: optuna is not installed, or the journal cannot be read.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise RunError(
            "searching needs optuna, which is not installed; install it with: pip install 'spine-ignite[cluster]'"
        ) from error
    folder = study.directory.search
    guard(folder)
    folder.mkdir(parents=True, exist_ok=True)
    open_to_append(_journal(study)).close()  # refuses a link
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    minimises = Monitor(trial_config(study, {}).train, validates=True).minimises
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(_journal(study)))),
            study_name=NAME,
            direction="minimize" if minimises else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{_journal(study)} cannot be read ({error}); remove {folder} to search anew") from error


def work(root: Path, echo: Echo = print) -> int:
    """Try one after the other, beside any number of other workers, until all trials are done.

    Trials whose workers were killed are gone on with from their checkpoints.

    Returns:
        The exit code: 0; 130 or 143 after a signal, which leaves its trial to be gone on with.

    Raises:
        UsageError: the study declares no search.
        RunError: optuna is not installed, or the journal cannot be read or is of other values.
    """
    study = load_study(root)
    section, search = require_search(study), open_search(study)
    require_values(study)
    while True:
        with ExitStack() as stack:  # holds the claim on a trial
            trial = _next_trial(stack, study, search, section)
            if trial is None:
                return 0
            stopped = _try(study, section, search, trial, echo)
            if stopped is not None:
                return 128 + stopped


def require_values(study: Study) -> None:
    """Refuse a search of what the configuration does not have, before anything is tried.

    Raises:
        UsageError: a key is unknown, or the ends of its range or one of its choices cannot be.
    """
    for key, space in require_search(study).space.items():
        values = space.choices if space.choices is not None else (space.low, space.high)
        for value in values:
            trial_config(study, {key: int(value) if space.whole and value is not None else value})


def _next_trial(stack: ExitStack, study: Study, search: optuna.Study, section: SearchSection) -> optuna.Trial | None:
    """Claim a trial that nobody works on: one that was interrupted, or a new one; None if there are enough."""
    import optuna

    running = optuna.trial.TrialState.RUNNING
    for known in search.get_trials(deepcopy=False, states=[running]):
        with ExitStack() as held:
            mine = claim(held, trial_run(study, known.number).root)
            # By now another worker may have ended it.
            if mine and search.trials[known.number].state == running:
                if section.space.keys() - search.trials[known.number].params.keys():
                    # Its worker died while it drew them; by what is left it would be a trial of something else.
                    search.tell(known.number, state=optuna.trial.TrialState.FAIL)
                    continue
                stack.push(held.pop_all())
                return optuna.Trial(search, search.trials[known.number]._trial_id)
    with ExitStack() as asking:  # one worker alone asks, and knows what the others try
        wait_for_lock(asking, study.directory.search, ".lock-ask")
        count = len(search.trials)
        if count >= section.trials:
            return None
        # Seeded by the number of the trial, so that no two workers try the same.
        search.sampler = optuna.samplers.TPESampler(seed=section.seed + count)
        if not claim(stack, trial_run(study, count).root):
            raise RunError(f"{trial_run(study, count).root} is in use by another process; wait for it")
        wanted = {key: _distribution(space) for key, space in section.space.items()}
        try:
            for known in search.get_trials(deepcopy=False):
                for key in wanted.keys() & known.distributions.keys():
                    optuna.distributions.check_distribution_compatibility(known.distributions[key], wanted[key])
            return search.ask(wanted)
        except ValueError as error:
            raise RunError(
                f"{_journal(study)} holds a search of other values than {study.directory.declaration} declares "
                f"({error}); restore search.space, or remove {study.directory.search} to search anew"
            ) from error


def trial_run(study: Study, number: int) -> RunDirectory:
    """The run of a trial, by its number."""
    return RunDirectory(study.directory.search / "trials" / f"{number:04}")


def _distribution(space: SearchSpace) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if space.choices is not None:
        return distributions.CategoricalDistribution(space.choices)
    assert space.low is not None
    assert space.high is not None
    if space.whole:
        return distributions.IntDistribution(int(space.low), int(space.high), log=space.log)
    return distributions.FloatDistribution(space.low, space.high, log=space.log)


def _journal(study: Study) -> Path:
    return study.directory.search / "journal.log"


def _try(study: Study, section: SearchSection, search: optuna.Study, trial: optuna.Trial, echo: Echo) -> int | None:
    """Train with what a trial tries, and tell what came of it; return the signal that stopped it."""
    import optuna

    run = trial_run(study, trial.number)
    if trial.user_attrs.get(PRUNED):  # its worker died before it could tell
        search.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return None
    echo(f"Trial {trial.number}: {', '.join(f'{key}={value}' for key, value in trial.params.items())}")
    try:
        config = trial_config(study, trial.params)
        monitor = Monitor(config.train, validates=True)
        pruning = Pruning(trial, monitor, section.prune)
        result = train_or_resume(config, run, echo=echo, handlers=[pruning])
    except SpineIgniteError as error:
        echo(f"Trial {trial.number} failed: {reason(error, run.root)}")
        search.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None
    if result is not None and result.signal is not None:
        return result.signal
    best = best_of(read_rows(run.metrics), monitor)
    if pruning.pruned:
        search.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif best is None:
        search.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        search.tell(trial, best)
    return None
