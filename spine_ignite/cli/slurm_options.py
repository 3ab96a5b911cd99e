"""What commands share that hand jobs to Slurm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from spine_ignite.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def slurm_option(function: Command) -> Command:
    """Add ``--slurm KEY=VALUE …``, passed as ``slurm``; see :func:`asked_of_slurm`."""
    return click.option(
        "--slurm",
        multiple=True,
        metavar="KEY=VALUE",
        help="What a job asks for: partition, time (minutes), gpus_per_node, cpus_per_task, mem_gb, array_parallelism, "
        "or another option of sbatch; may be repeated.",
    )(function)


def asked_of_slurm(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``KEY=VALUE`` into what is asked of Slurm, the values as YAML.

    Raises:
        UsageError: one has another form.
    """
    from spine_ignite.plain_yaml import YamlError, parse_yaml

    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--slurm {pair} must look like KEY=VALUE, for instance --slurm partition=gpu")
        try:
            found[key.strip()] = parse_yaml(value)
        except YamlError as error:
            raise UsageError(f"--slurm {pair}: the value is not YAML: {error}") from error
    return found
