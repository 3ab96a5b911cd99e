"""What a study is declared to be: the file STUDY.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from spine_ignite.config.section import PositiveInt, Section
from spine_ignite.errors import UsageError
from spine_ignite.plain_yaml import YamlError, read_yaml
from spine_ignite.studies.study_directory import Cell
from spine_ignite.validation_errors import describe

# What all cells share, so that they are compared on the same cases and nothing else than what is declared differs.
_SHARED = (
    "seed",
    "data.root",
    "data.also",
    "data.scheme",
    "data.masks",
    "data.labelled",
    "data.split",
    "data.fold",
    "data.folds",
    "data.fraction",
    "data.validation",
    "data.patients",
)
_LABEL = r"^[A-Za-z0-9][A-Za-z0-9_.+]{0,59}$"  # a part of a folder's name, which '-' separates
Changes = dict[str, Any]


def is_shared(key: str) -> bool:
    """Whether a dotted key, or one in it, is the same for all cells."""
    return any(_within(key, shared) or _within(shared, key) for shared in _SHARED)


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.")


def _not_shared(changes: Changes) -> Changes:
    for key in changes:
        if is_shared(key):
            raise ValueError(f"{key} is the same for all cells of a study; set it in the base configuration")
    return changes


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Varied = Annotated[Changes, AfterValidator(_not_shared)]


class StudyModel(Section):
    """A model of a study: an architecture, with a configuration of its own if it needs one."""

    name: Annotated[str, Field(pattern=_LABEL)]
    model: str | None = Field(None, description="the architecture, from list-models; default: name")
    config: Path | None = Field(None, description="a configuration in place of the study's, configs/models/NAME.yaml")
    set: Varied = Field(default_factory=dict, description="overrides by dotted key")


class SearchSpace(Section):
    """The values of a key that a search may take: a range, or choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = Field(False, description="whole numbers only")
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> SearchSpace:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give low and high, or choices")
        if self.choices is not None and (not self.choices or self.log or self.whole):
            raise ValueError("choices are a list of values, without log or whole")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"low must be above 0 with log, got {self.low:g}")
        return self


class SearchSection(Section):
    """A search for hyper-parameters of one model, judged on the validation cases of one fold."""

    model: str | None = Field(None, description="which of models; default: the first")
    space: dict[str, SearchSpace] = Field(min_length=1, description="what is searched, by dotted key")
    trials: PositiveInt = 20
    fold: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the trainings and of what is tried")
    prune: bool = Field(True, description="stop trials that are worse than the median of the others at the same epoch")

    @model_validator(mode="after")
    def _free(self) -> SearchSection:
        _not_shared(dict.fromkeys(self.space))
        return self


def _no_repeats(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("one is given twice")
    return values


Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1), AfterValidator(_no_repeats)]


def _no_settings() -> dict[str, Changes]:
    return {"base": {}}


class Declaration(Section):
    """Models x settings x folds x seeds over one base configuration and one dataset."""

    config: Path | None = Field(None, description="the base configuration, a YAML file; default: the defaults")
    data: Path | None = Field(None, description="the dataset (data.root); default: the base configuration's")
    set: dict[str, Any] = Field(default_factory=dict, description="overrides for all cells, by dotted key")
    models: Annotated[tuple[Annotated[StudyModel, BeforeValidator(_from_name)], ...], Field(min_length=1)]
    settings: Annotated[dict[Annotated[str, Field(pattern=_LABEL)], Varied], Field(min_length=1)] = Field(
        default_factory=_no_settings, description="named overrides, each tried with each model"
    )
    folds: Annotated[int, Field(ge=2)] = Field(5, description="of the patients, or as many as data.split lists")
    seeds: Seeds = Field((0,), description="of weights, batches and augmentation; that of the folds is the base's")
    cluster: dict[str, Any] = Field(
        default_factory=dict,
        description="what a job asks of Slurm, by the names of sbatch's options (see study submit)",
    )
    search: SearchSection | None = None

    @model_validator(mode="after")
    def _told_apart(self) -> Declaration:
        names = [model.name for model in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two models are called {twice[0]}; give one another name")
        if self.search is not None and self.search.model not in (None, *names):
            raise ValueError(f"search.model is {self.search.model}, which is none of the models")
        return self

    def cells(self) -> Iterator[Cell]:
        """All cells, fold by fold and seed by seed, so that a study that is stopped early has something of each."""
        models = [model.name for model in self.models]
        for seed, fold, model, setting in product(self.seeds, range(self.folds), models, self.settings):
            yield Cell(model, setting, fold, seed)

    def to_yaml(self) -> str:
        """Return it as a file that :func:`read_declaration` reads back to an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_declaration(path: Path) -> Declaration:
    """Read STUDY.yaml; relative paths in it are beside it, and become absolute.

    Raises:
        UsageError: it cannot be read, or a key or value is wrong; the message names the key and what would fit.
    """
    try:
        data = read_yaml(path)
    except FileNotFoundError:
        raise UsageError(f"study {path} does not exist") from None
    except (OSError, YamlError) as error:
        raise UsageError(f"study {path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"study {path} must hold a mapping (models, folds, seeds …), got {type(data).__name__}")
    try:
        found = Declaration.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"study {path}: {describe(error, Declaration)}") from error
    folder = path.absolute().parent
    models = tuple(model.model_copy(update={"config": _beside(model.config, folder)}) for model in found.models)
    changes = {"config": _beside(found.config, folder), "data": _beside(found.data, folder), "models": models}
    return found.model_copy(update=changes)


def _beside(path: Path | None, folder: Path) -> Path | None:
    return None if path is None else folder / path
