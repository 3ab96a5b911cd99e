"""Whether the files of a folder are numbered by contrast as those that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spine_ignite.datasets.contrast_names import ContrastNames
from spine_ignite.inference.network_sources import TrainedRun, find_sources
from spine_ignite.labels import dataset_json
from spine_ignite.runs.contrast_record import Numbers, recorded_numbers


def trained_numbers(networks: Sequence[Path]) -> list[Numbers]:
    """Return the numbers of the contrasts in the training of networks, as far as their runs recorded them.

    Args:
        networks: what they are called; see :func:`.network_sources.find_sources`. A file of a network says nothing.

    Raises:
        UsageError: a name stands for two things.
        RunError: it stands for nothing.
    """
    runs = [source for name in networks for source in find_sources(name) if isinstance(source, TrainedRun)]
    return [numbers for run in runs for numbers in recorded_numbers(run.directory)]


def notes_on_numbers(naming: Mapping[Path, ContrastNames], trained: Sequence[Numbers] = ()) -> list[str]:
    """Say of each folder how numbers were read where no file says what they mean, or where training had others.

    Args:
        naming: how the names of each folder's files tell contrasts.
        trained: of the networks; see :func:`trained_numbers`.
    """
    notes = []
    for folder, names in naming.items():
        other = next((numbers for numbers in trained if _differ(numbers, names.channels)), None)
        then = f"; in training {_listed(other)}" if other is not None else ""
        if names.channels and not names.called:
            notes.append(
                f"in {folder} no file says what the numbers at the end of names mean, and {_listed(names.channels)}, "
                f"as the network counts them{then}; if they are numbered otherwise, give a table (CSV: case, contrast, "
                "image)"
            )
        elif names.channels and then:
            notes.append(f"in {folder} {_listed(names.channels)}, as its {dataset_json.FILE} says{then}")
    return notes


def _differ(one: Numbers, other: Numbers) -> bool:
    """Whether a contrast that both have has two numbers."""
    places = {contrast: number for number, contrast in other.items()}
    return any(places.get(contrast, number) != number for number, contrast in one.items())


def _listed(numbers: Numbers) -> str:
    return ", ".join(f"_{number:04d} is {contrast}" for number, contrast in sorted(numbers.items()))
