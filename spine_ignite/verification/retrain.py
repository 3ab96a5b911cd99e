"""A training once more: from the data and the record of its progress to the weights, bit for bit."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spine_ignite.errors import SpineIgniteError
from spine_ignite.machine.hardware import describe_hardware, other_kind
from spine_ignite.machine.left_as_found import left_as_found
from spine_ignite.runs.checkpoints import read_checkpoint
from spine_ignite.runs.directory import RunDirectory, read_rows
from spine_ignite.runs.manifest import Entry, read_chain
from spine_ignite.training.budget import shares_in
from spine_ignite.training.run import train
from spine_ignite.verification.examined import Examined, said
from spine_ignite.verification.findings import Findings
from spine_ignite.verification.table_cells import same_value

Progress = Callable[[Any], Any]
_STATES = ("model", "ema", "optimizer")
# What a clock says of an epoch, and what is left of the time.
TIMED = ("minutes", "seconds", "slices_per_second", "doctor/step_seconds", "doctor/waiting", "doctor/progress")


def retrain(examined: Examined, findings: Findings, progress: Progress | None) -> None:
    """Train a run again in a temporary folder, and compare weights and figures of each epoch.

    Its slices are made anew from the images. Each step has the share of the training that it had then, so that neither
    a clock nor a change of the length on the way makes a difference. Several processes add in another order than one,
    and draw apart: what they trained is left out.
    """
    entry = examined.chain.last("training")
    if entry is None or not entry.settings.get("ended"):
        findings.leave("the training: it cannot be repeated, since it has not come to its end; go on with it first")
        return
    if any(e.settings.get("processes", 1) != 1 for e in examined.chain.entries if e.kind == "training"):
        findings.leave("the training: it was done by several processes, and is repeated by one alone")
        return
    try:
        last = read_checkpoint(examined.directory.last)
        shares = shares_in(last["budget"])
    except (SpineIgniteError, KeyError, TypeError, ValueError, AttributeError) as error:
        findings.refuse(f"checkpoints/last.pt: {said(error)}")
        return
    if not shares or any(math.isnan(share) for share in shares):
        findings.leave("the training: it cannot be repeated, since an older version has not recorded its progress")
        return
    with tempfile.TemporaryDirectory(prefix="spine-ignite-verify-") as folder:
        again = RunDirectory(Path(folder) / "run")
        try:
            _train(examined, entry, again, shares, progress)
        except SpineIgniteError as error:
            findings.refuse(f"the training: it cannot be repeated: {said(error)}")
            return
        _compare(examined.directory, again, entry, findings)


def _train(examined: Examined, entry: Entry, again: RunDirectory, shares: Any, progress: Progress | None) -> None:
    config = examined.config
    data = {"split": examined.directory.split.absolute(), "cache": again.root.parent / "store"}
    log = {"tensorboard": False, "pictures_every": 0, "volumes_every": 0, "trackers": ()}
    threads = entry.machine.get("threads")
    changed = {
        "data": config.data.model_copy(update=data),
        "log": config.log.model_copy(update=log),
        "threads": threads if isinstance(threads, int) else config.threads,
        "precision": str(entry.machine.get("precision", config.precision)),
    }

    def replay(_trainer: Any, _evaluator: Any, run: Any) -> None:
        run.budget.replay(shares)

    with left_as_found():
        train(
            config.model_copy(update=changed), again.root, echo=lambda _line: None, progress=progress, handlers=[replay]
        )


def _compare(directory: RunDirectory, again: RunDirectory, entry: Entry, findings: Findings) -> None:
    now = read_chain(again.root)
    machine = now.entries[-1].machine if now is not None and now.entries else describe_hardware(torch.device("cpu"), "")
    other = other_kind(entry.machine, machine)
    where = f", on another kind of machine ({other})" if other is not None else ""
    for name in ("best", "last"):
        one, two = (read_checkpoint(getattr(run, name)) for run in (directory, again))
        differing = differing_tensors(one, two)
        if differing:
            first, most = differing[0]
            findings.refuse(
                f"checkpoints/{name}.pt: {len(differing)} tensors are other ones when trained again, {first} for one "
                f"(by {most:.2g} at most){where}"
            )
        else:
            findings.checked["trained weights"] += 1
    findings.refuse(*_differing_rows(directory, again))
    if other is not None:
        findings.note(f"trained again on another kind of machine ({other}), which may round otherwise")


def differing_tensors(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the names of the tensors of two checkpoints that are not equal bit for bit, and how much they differ."""
    first, second = (
        {name: value for key in _STATES for name, value in _tensors(saved.get(key), key)} for saved in (one, two)
    )
    found = []
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second or first[name].shape != second[name].shape:
            found.append((name, math.inf))
        elif not torch.equal(first[name], second[name]):
            found.append((name, float((first[name].double() - second[name].double()).abs().max())))
    return found


def _tensors(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        yield from _tensors(item, f"{path}.{key}")


def _differing_rows(directory: RunDirectory, again: RunDirectory) -> list[str]:
    one, two = ({row["epoch"]: row for row in read_rows(run.metrics)} for run in (directory, again))
    found = [f"metrics.jsonl: epoch {n} is in one training only" for n in sorted(one.keys() ^ two.keys())]
    for epoch in sorted(one.keys() & two.keys()):
        for name, value in two[epoch].items():
            if name not in TIMED and not same_value(one[epoch].get(name), value):
                found.append(
                    f"metrics.jsonl: {name} of epoch {epoch} is {one[epoch].get(name)}, and {value} when trained again"
                )
    return found
