"""Make a study: resolve its configurations, choose its folds, seal its test set; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.batches.loaders import training_size
from spine_ignite.config import RunConfig, dump_config, load_config
from spine_ignite.config.components import require_components
from spine_ignite.datasets.folds import Folds, read_folds
from spine_ignite.datasets.split import require_same
from spine_ignite.errors import UsageError
from spine_ignite.files import guard, write_text
from spine_ignite.ownership import own_folder, require_ours
from spine_ignite.places import require_apart
from spine_ignite.runs.choose_split import choose_folds, fingerprint_of_stored
from spine_ignite.runs.resumption import changes_between, may_change, shown
from spine_ignite.runs.starting_point import record_start
from spine_ignite.slices.build import build_store
from spine_ignite.slices.place import store_folder
from spine_ignite.slices.store import SliceStore
from spine_ignite.studies.declaration import Declaration, StudyModel, is_shared, read_declaration
from spine_ignite.studies.seal import make_seal
from spine_ignite.studies.study_directory import Cell, StudyDirectory, method_name, open_study

Progress = Callable[[Any], Any]
Echo = Callable[[str], None]
_LENGTH = ("train.epochs", "train.minutes", "train.patience")  # may change in a run, but cells must be alike


@dataclass(frozen=True)
class Study:
    """A study that was made.

    Args:
        directory: where it lies.
        declaration: what is studied.
    """

    directory: StudyDirectory
    declaration: Declaration

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the order in which they are trained."""
        return tuple(self.declaration.cells())

    @property
    def methods(self) -> tuple[str, ...]:
        """What is compared: each model under each setting, in the order of the declaration."""
        return tuple(
            dict.fromkeys(method_name(m.name, s) for m in self.declaration.models for s in self.declaration.settings)
        )

    def config(self, cell: Cell) -> RunConfig:
        """The configuration of a cell: its method's, with its fold and seed.

        Raises:
            UsageError: it was damaged.
        """
        return self.varied(load_config(self.directory.config(cell.method)), cell.fold, cell.seed)

    def varied(self, config: RunConfig, fold: int, seed: int) -> RunConfig:
        """Give a configuration a fold of the study, and a seed."""
        split = {"split": self.directory.splits.absolute(), "fold": fold, "folds": self.declaration.folds}
        return config.model_copy(update={"seed": seed, "data": config.data.model_copy(update=split)})


def load_study(root: Path) -> Study:
    """Open a study that was made.

    Raises:
        RunError: there is none in ``root``.
        UsageError: its declaration was damaged.
    """
    directory = open_study(root)
    return Study(directory, read_declaration(directory.declaration))


def default_folder(declaration: Path) -> Path:
    """The folder of a study, where none is given: that of its file, without the suffix."""
    return declaration.with_suffix("")


def make_study(
    declaration: Declaration, out: Path, *, progress: Progress | None = None, echo: Echo = lambda _line: None
) -> Study:
    """Make a study, or find that it was made; models, settings and seeds may be added to it.

    The slice stores that its cells read are built, so that these do not wait for each other.

    Args:
        declaration: what is studied.
        out: its folder.
        progress: wraps the cases that are preprocessed.
        echo: takes the lines that tell what is made.

    Raises:
        UsageError: a configuration cannot be used, or the study was made with another one.
        DataError: the folds cannot be made, or the data is not what it was when the study was made.
        RunError: ``out`` holds something else, or is in use.
    """
    directory = StudyDirectory(Path(out))
    configs = _configurations(declaration)
    first = next(iter(configs.values()))
    require_apart({"--out": out}, {**first.data.roots, "data.cache": store_folder(first.data)})
    require_ours(out, "study")
    guard(out)
    with own_folder(directory.root, "study", "is making a study in it"):
        stores = {method: build_store(config.data, progress).store for method, config in configs.items()}
        _require_own_stores(stores)
        found = {method: _found(configs[method], store) for method, store in stores.items()}
        if directory.exists:
            return _again(Study(directory, declaration), found, next(iter(stores.values())), echo)
        base = first.model_copy(update={"data": first.data.model_copy(update={"folds": declaration.folds})})
        folds = choose_folds(base.data, base.seed, next(iter(stores.values())))
        study, found = _with_folds(Study(directory, declaration), found, len(folds.folds))
        write_text(directory.splits, folds.to_json())
        write_text(directory.seal, make_seal(folds.test).to_json())
        _write(study, found)
        echo(
            f"Made: {len(study.cells)} cells ({len(study.methods)} of models and settings x {len(folds.folds)} folds x "
            f"{len(declaration.seeds)} seeds), {len(folds.cases)} training cases; {len(folds.test)} test cases sealed"
        )
        return study


def _again(study: Study, configs: dict[str, RunConfig], store: SliceStore, echo: Echo) -> Study:
    """Take a study as it was made, with what was added to it since.

    Raises:
        UsageError: something else has changed.
        DataError: the data has.
    """
    directory, begun = study.directory, load_study(study.directory.root)
    folds: Folds = read_folds(directory.splits)
    listed, declared = next(iter(configs.values())).data.split is not None, study.declaration.folds
    if not listed and declared != len(folds.folds):
        raise _other(directory, f"folds was {len(folds.folds)} and is {declared}")
    _require_same_search(begun, study)
    study, configs = _with_folds(study, configs, len(folds.folds))
    root, cases = next(iter(configs.values())).data.root, {case.name: case for case in store.cases}
    require_same(folds.cases, cases, fingerprint_of_stored, root, directory.splits)
    gone = sorted(cell.name for cell in {*begun.cells} - {*study.cells})
    if gone:
        raise _other(directory, f"{len(gone)} of its cells are declared no more, {gone[0]} for one")
    for method in begun.methods:
        unlike = [
            f"{key} was {shown(before)} and is {shown(after)}"
            for key, before, after in changes_between(load_config(directory.config(method)), configs[method])
            if not may_change(key) or key in _LENGTH
        ]
        if unlike:
            raise _other(directory, f"of {method} {'; '.join(unlike)}")
    added = len(study.cells) - len(begun.cells)
    if added:
        echo(f"Added: {added} cells to the {len(begun.cells)} of {directory.root}")
    _write(study, configs)
    return study


def _require_same_search(begun: Study, study: Study) -> None:
    """Refuse another search than the one that has begun, but for its number of trials."""
    before, after = begun.declaration.search, study.declaration.search
    if before is None or not any(begun.directory.search.glob("trials/*")):
        return
    if after is None:
        raise _other(begun.directory, "its search has begun, and is declared no more")
    unlike = [
        key for key in type(before).model_fields if key != "trials" and getattr(before, key) != getattr(after, key)
    ]
    if unlike:
        raise UsageError(
            f"search.{unlike[0]} is another than when the search of {begun.directory.root} began, and only "
            f"search.trials can change by then; restore it, or remove {begun.directory.search} to search anew"
        )


def _with_folds(study: Study, configs: dict[str, RunConfig], count: int) -> tuple[Study, dict[str, RunConfig]]:
    """Give a study and its configurations the number of folds that there are: a list of splits may have another."""
    found = {
        method: config.model_copy(update={"data": config.data.model_copy(update={"folds": count})})
        for method, config in configs.items()
    }
    return Study(study.directory, study.declaration.model_copy(update={"folds": count})), found


def _other(directory: StudyDirectory, what: str) -> UsageError:
    return UsageError(
        f"{directory.root} holds a study that was made otherwise: {what}; models, settings and seeds can be added, for "
        "all else choose another folder (--out)"
    )


def _write(study: Study, configs: dict[str, RunConfig]) -> None:
    """Write what is new; the declaration comes last, since it makes the folder a study."""
    texts = {study.directory.config(method): dump_config(config) for method, config in configs.items()}
    for path, text in {**texts, study.directory.declaration: study.declaration.to_yaml()}.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def _configurations(declaration: Declaration) -> dict[str, RunConfig]:
    """Resolve what is declared, as far as it goes without the data: each model under each setting."""
    found = {}
    for model in declaration.models:
        for setting, changes in declaration.settings.items():
            config = _resolve(declaration, model, changes)
            require_components(config)
            found[method_name(model.name, setting)] = config
    first, *others = found.values()
    for method, config in zip(list(found)[1:], others, strict=True):
        unlike = [key for key, _, _ in changes_between(first, config) if is_shared(key)]
        if unlike:
            raise UsageError(
                f"{unlike[0]} of {method} is not that of the other models, and all cells of a study have the same; "
                "give it in the study's set"
            )
    return found


def _resolve(declaration: Declaration, model: StudyModel, setting: dict[str, Any]) -> RunConfig:
    changes = {"model.name": model.model or model.name, **declaration.set, **model.set, **setting}
    if declaration.data is not None:
        changes["data.root"] = declaration.data
    config = load_config(model.config or declaration.config, changes)
    what = f"{model.name} of the study"
    if config.data.batch_size == "auto":
        raise UsageError(f"data.batch_size of {what} is auto, which each cell would find for itself; give a number")
    if config.data.fold is not None:
        raise UsageError(f"data.fold of {what} chooses one fold, and a study trains all; leave it out")
    if config.train.overfit_batches:
        raise UsageError(f"train.overfit_batches of {what} is a check of one run; leave it out")
    if config.train.start_from is not None:
        start = record_start(config.train.start_from, None)
        config = config.model_copy(update={"train": config.train.model_copy(update={"start_from": start})})
    also = tuple(item.model_copy(update={"root": item.root.absolute()}) for item in config.data.also)
    section = config.data.model_copy(update={"root": config.data.root.absolute(), "also": also})
    return config.model_copy(update={"data": section})


def _require_own_stores(stores: dict[str, SliceStore]) -> None:
    """Refuse one folder for slices that are made in two ways: cells would rebuild each other's."""
    users: dict[Path, str] = {}
    for method, store in stores.items():
        other = users.setdefault(store.root, method)
        if stores[other].settings != store.settings:
            raise UsageError(
                f"{other} and {method} prepare their slices in two ways, but data.cache names one folder for both; "
                "leave data.cache out"
            )


def _found(config: RunConfig, store: SliceStore) -> RunConfig:
    """Fill in what the data tells, so that it is the same in all folds."""
    found: dict[str, Any] = {"cache": store.root.absolute(), "spacing": store.settings.spacing}
    if config.data.sampling == "slices":
        found["size"] = training_size(store, config.data.size)
    return config.model_copy(update={"data": config.data.model_copy(update=found)})
