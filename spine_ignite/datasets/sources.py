"""The datasets of a configuration: where each lies and what its masks label, which is declared and never inferred.

That a structure is in no mask says nothing: it may lie outside of the images, or nobody has drawn it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config import DataConfig, DatasetConfig
from spine_ignite.datasets.cases import Case, Dataset, Problem
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.patients import listed
from spine_ignite.errors import UsageError
from spine_ignite.labels import IGNORE, LabelScheme, load_scheme
from spine_ignite.labels.mapping import SchemeMap, map_scheme


@dataclass(frozen=True)
class Source:
    """A dataset of a run.

    Args:
        name: stands before the names of its cases; empty for that of ``data.root``.
        root: its folder.
        mapping: from the scheme of its masks to that of the run.
        labelled: for each class of the run's scheme whether its masks label it; the background always.
        contrasts: of the run, whose images are one case; see :func:`.find_cases.find_cases`.
    """

    name: str
    root: Path
    mapping: SchemeMap
    labelled: tuple[bool, ...]
    contrasts: tuple[str, ...] = ()

    @property
    def labels_all(self) -> bool:
        """Whether its masks label every class of the run's scheme."""
        return all(self.labelled)

    @cached_property
    def key(self) -> str:
        """What tells how its masks are read; empty if they are in the run's scheme, all of it."""
        if self.mapping.source == self.mapping.target and self.labels_all:
            return ""
        told = (self.mapping.source.to_dict(), self.mapping.table, self.mapping.renamed, self.labelled)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def indices(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Map the values of a mask file to class indices of the run's scheme; what is not labelled is background.

        Raises:
            DataError: a value is not in the scheme of the masks.
        """
        indices = self.mapping.indices(self.mapping.source.to_indices(values))
        if not self.key:
            return indices
        kept = np.where(self.labelled, np.arange(len(self.labelled)), 0)
        table = np.full(IGNORE + 1, IGNORE, np.uint8)
        table[: len(kept)] = kept
        return table[indices]

    @property
    def names(self) -> tuple[str, ...]:
        """The structures that its masks label."""
        known = self.mapping.target.names[1:]
        return tuple(name for name, there in zip(known, self.labelled[1:], strict=True) if there)

    def describe(self) -> str:
        """Say in a sentence what its masks label of the run's scheme."""
        scheme, source = self.mapping.target, self.mapping.source
        rest = [name for name in scheme.names[1:] if name not in self.names]
        read = f", read from the scheme '{source.name}'" if source.name != scheme.name else ""
        if not rest:
            return f"{self.root} labels every class of the scheme '{scheme.name}'{read}"
        return f"{self.root} labels {_all(self.names)} of the scheme '{scheme.name}'{read}, but not {_all(rest)}"

    def notes(self) -> list[str]:
        """Say what its masks label and where structures are not quite the same; nothing if it labels all as it is."""
        if not self.key:
            return []
        kinds = {c.kind for c, there in zip(self.mapping.target.classes, self.labelled, strict=True) if there}
        said = [self.describe(), *(f"{self.root}: {note}" for kind, note in self.mapping.notes if kind in kinds)]
        if self.mapping.without:
            said.append(
                f"{self.root}: {_all(self.mapping.without)} of the scheme '{self.mapping.source.name}' "
                f"count as background, which the scheme '{self.mapping.target.name}' does not tell apart"
            )
        return said


def sources_of(data: DataConfig) -> tuple[Source, ...]:
    """Return the datasets of a configuration, that of ``data.root`` first.

    Raises:
        UsageError: a scheme cannot be read, what a dataset is said to label is no class or not in its masks, or a
            folder is named twice.
    """
    _require_each_once(data)
    scheme = load_scheme(data.scheme)
    sources = []
    declared: list[tuple[str, str, DataConfig | DatasetConfig]] = [("data", "", data)]
    declared += [(f"data.also.{number}", item.name, item) for number, item in enumerate(data.also)]
    for key, name, item in declared:
        mapping = map_scheme(load_scheme(item.masks) if item.masks is not None else scheme, scheme)
        if not any(mapping.reached[1:]):
            raise UsageError(
                f"{key}.masks={item.masks}: the scheme '{mapping.source.name}' has no structure of '{scheme.name}'; "
                "choose the scheme that these masks are in"
            )
        labelled = mapping.reached if item.labelled is None else _declared(mapping, item.labelled, f"{key}.labelled")
        sources.append(Source(name, item.root, mapping, labelled, data.contrasts))
    return tuple(sources)


def _require_each_once(data: DataConfig) -> None:
    """Refuse a folder that is named twice: its cases would weigh double in training and in every mean."""
    seen: dict[str, str] = {}
    for key, root in data.roots.items():
        first = seen.setdefault(os.path.realpath(root), key)
        if first != key:
            raise UsageError(f"{key} is the folder of {first}, {root}; name each dataset once")


def alone(root: Path, scheme: LabelScheme, masks: LabelScheme | None = None) -> Source:
    """Return a dataset whose masks label all that their scheme has, ``masks``, or ``scheme`` by default.

    Raises:
        UsageError: the schemes have no structure in common.
    """
    mapping = map_scheme(masks if masks is not None else scheme, scheme)
    if not any(mapping.reached[1:]):
        raise UsageError(
            f"masks in the scheme '{mapping.source.name}' have no structure of '{scheme.name}'; choose the scheme that "
            f"those in {root} are in"
        )
    return Source("", root, mapping, mapping.reached)


def elsewhere(data: DataConfig, root: Path, masks: LabelScheme | None = None) -> Source:
    """Return another dataset in the classes of a configuration, its masks in a scheme, or else as is declared.

    What is declared of a folder that the configuration names holds for it; of any other, what is of ``data.root``.

    Raises:
        UsageError: the schemes have no structure in common.
    """
    if masks is None:
        sources = sources_of(data)
        same = (source for source in sources if os.path.realpath(source.root) == os.path.realpath(root))
        return replace(next(same, sources[0]), name="", root=root)
    return replace(alone(root, load_scheme(data.scheme), masks), contrasts=data.contrasts)


def _declared(mapping: SchemeMap, names: Sequence[str], key: str) -> tuple[bool, ...]:
    known = mapping.target.names
    for name in names:
        if name not in known:
            raise UsageError(
                f"{key} names {name}, which is no class of the scheme '{mapping.target.name}' ({_all(known[1:])})"
            )
        if not mapping.reached[known.index(name)]:
            raise UsageError(
                f"{key} names {name}, which masks in the scheme '{mapping.source.name}' cannot hold; leave it out"
            )
    if not set(names) - {known[0]}:
        raise UsageError(f"{key} names no structure; name those that the masks label, or leave it out for all")
    return tuple(index == 0 or name in names for index, name in enumerate(known))


def find_all(sources: Sequence[Source]) -> tuple[Dataset, list[Problem]]:
    """Find the cases of all datasets as those of one, and every pairing problem; see :func:`.find_cases.find_cases`.

    Names of cases begin with that of their dataset, but for the first, whose cases are called what they always were.

    Raises:
        DataError: a dataset is missing, or its layout is not known.
    """
    dataset, problems = find_cases(sources[0].root, contrasts=sources[0].contrasts)
    for source in sources[1:]:
        found, wrong = find_cases(source.root, contrasts=source.contrasts)
        dataset = replace(
            dataset,
            cases=(*dataset.cases, *(_of(source, case) for case in found.cases)),
            notes=(*dataset.notes, *found.notes),
        )
        problems += [replace(problem, case=prefixed(source.name, problem.case)) for problem in wrong]
    seen: dict[str, Case] = {}
    for case in dataset.cases:
        other = seen.setdefault(case.name, case)
        if other.dataset != case.dataset:
            message = f"has the name of {other.image}, {case.name}; give this dataset another name (data.also)"
            problems.append(Problem(case.id, case.image, message))
    return dataset, problems


def find_configured(data: DataConfig) -> Dataset:
    """Return the cases of all datasets of a configuration, whatever else is wrong with them.

    Raises:
        DataError: a dataset is missing, or its layout is not known.
        UsageError: what is declared of one cannot be.
    """
    return find_all(sources_of(data))[0]


def prefixed(dataset: str, name: str) -> str:
    """Return what a case of a dataset is called among those of others."""
    return f"{dataset}_{name}" if dataset else name


def own_name(dataset: str, name: str) -> str:
    """Return what such a case is called in its own dataset."""
    return name.removeprefix(f"{dataset}_") if dataset else name


def source_of(case: Case, sources: Sequence[Source]) -> Source:
    """Return the dataset that a case is of."""
    return next(source for source in sources if source.name == case.dataset)


def _of(source: Source, case: Case) -> Case:
    id_, name = (prefixed(source.name, text) for text in (case.id, case.name))
    return replace(case, id=id_, name=name, dataset=source.name)


def _all(names: Sequence[str]) -> str:
    return listed(names) if len(names) > 8 else ", ".join(names)
