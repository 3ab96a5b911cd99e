"""The records of a run against each other: what one says of another must hold, whatever the hashes say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spine_ignite.datasets.hold_out import hold_out
from spine_ignite.datasets.split import Split, read_split
from spine_ignite.errors import SpineIgniteError
from spine_ignite.runs.checkpoints import read_checkpoint
from spine_ignite.runs.description import Description
from spine_ignite.runs.directory import RunDirectory, read_rows
from spine_ignite.runs.manifest import Entry
from spine_ignite.runs.manifest_entries import shares_sha256
from spine_ignite.runs.resumption import changes_between, configuration_of, identity, may_change, shown
from spine_ignite.training.budget import shares_in
from spine_ignite.verification.examined import Examined, said
from spine_ignite.verification.findings import Findings
from spine_ignite.verification.table_cells import same_value

_REQUIRED = (
    "config.yaml",
    "split.json",
    "environment.json",
    "metrics.jsonl",
    "checkpoints/best.pt",
    "checkpoints/last.pt",
)


def check_records(examined: Examined, findings: Findings) -> None:
    """Compare configuration, split, environment, figures and checkpoints of a run with each other."""
    trainings = [entry for entry in examined.chain.entries if entry.kind == "training"]
    if not trainings:
        findings.leave("the training: the manifest has no entry of it; it was killed, or is of an older version")
        return
    if not trainings[-1].settings.get("ended"):
        findings.note("the training was stopped by a signal, and has not come to its end")
    findings.refuse(
        *(f"manifest.jsonl: no entry records {path}" for path in _REQUIRED if path not in examined.chain.files)
    )
    directory = examined.directory
    for check in (_split, _checkpoints, _environment):
        try:
            before = len(findings.wrong)
            check(directory, trainings, findings)
            findings.checked["records"] += len(findings.wrong) == before
        except SpineIgniteError as error:
            findings.refuse(f"{check.__name__.strip('_')}: {said(error)}")


def _split(directory: RunDirectory, trainings: Sequence[Entry], findings: Findings) -> None:
    split = read_split(directory.split)
    config = configuration_of(None, directory)
    recorded = {case.name: (case.image, case.mask) for case in split.cases}
    manifest = {name: (item.image, item.mask) for name, item in trainings[-1].data.items()}
    differing = sorted(name for name in recorded.keys() | manifest.keys() if recorded.get(name) != manifest.get(name))
    findings.refuse(*(f"split.json: {name} has other hashes there than in the manifest" for name in differing))
    origin = split.origin
    if origin.file is None and origin.seed != config.seed:
        findings.refuse(f"split.json: it is by seed {origin.seed}, and the seed in config.yaml is {config.seed}")
    if origin.file is None and origin.fraction == 1:
        _check_held_out(split, findings)


def _check_held_out(split: Split, findings: Findings) -> None:
    """Choose again by the seed who is held out; with a fraction of the cases it is not known who was left out."""
    origin, trainable = split.origin, (*split.training, *split.validation)
    rule = {"validation": origin.validation, "folds": origin.folds, "fold": origin.fold}
    chosen = hold_out({case.patient for case in trainable}, origin.seed, **rule)  # type: ignore[arg-type]
    there = {case.patient for case in split.validation}
    findings.refuse(
        *(f"split.json: patient {patient} validates, and trains by seed {origin.seed}" for patient in there - chosen),
        *(f"split.json: patient {patient} trains, and validates by seed {origin.seed}" for patient in chosen - there),
    )


def _checkpoints(directory: RunDirectory, trainings: Sequence[Entry], findings: Findings) -> None:
    config, codes = configuration_of(None, directory), [entry.code for entry in trainings]
    best, last = (read_checkpoint(path) for path in (directory.best, directory.last))
    for path, saved in ((directory.best, best), (directory.last, last)):
        description = Description.from_state(saved["description"], path)
        seen = set(description.images or ())
        trained = {voxels for case in read_split(directory.split).training for voxels in case.seen}
        if description.images is not None and not (seen == trained or (directory.start.is_file() and seen >= trained)):
            findings.refuse(
                f"checkpoints/{path.name}: it was not trained on {len(trained - seen)} images of split.json's training "
                f"cases, and on {len(seen - trained)} others"
            )
        plugin = description.plugin
        if plugin is not None and all(known.get(plugin.name) != plugin.version for known in codes):
            findings.refuse(
                f"checkpoints/{path.name}: it was made by {plugin}, and the manifest says "
                f"{codes[-1].get(plugin.name, 'nothing of it')}"
            )
    kept = best.get("best") or {}
    if kept.get("run") not in (None, identity(config)):
        findings.refuse("config.yaml: it is not the configuration that checkpoints/best.pt was trained with")
    trained_with = configuration_of((last, directory.last), directory)
    findings.refuse(
        *(
            f"config.yaml: {key} is {shown(now)} there, and {shown(then)} in checkpoints/last.pt"
            for key, then, now in changes_between(trained_with, config)
            if not may_change(key)
        )
    )
    _check_progress(last, trainings[-1], findings)
    _check_best_row(directory, kept, findings)


def _check_progress(last: Mapping[str, Any], entry: Entry, findings: Findings) -> None:
    try:
        steps, sha256 = int(last["trainer"]["iteration"]), shares_sha256(shares_in(last["budget"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        findings.refuse("checkpoints/last.pt: it has no record of its progress")
        return
    if steps != entry.settings.get("steps"):
        findings.refuse(
            f"checkpoints/last.pt: it is of step {steps}, and the manifest says {entry.settings.get('steps')}"
        )
    if sha256 != entry.settings.get("progress"):
        findings.refuse("checkpoints/last.pt: its record of the progress is not the one in the manifest")


def _check_best_row(directory: RunDirectory, kept: Mapping[str, Any], findings: Findings) -> None:
    """Find the figure for which the best network was kept in what was recorded of its epoch."""
    if kept.get("score") is None:
        return
    row = next((row for row in read_rows(directory.metrics) if row["epoch"] == kept.get("epoch")), {})
    figure = row.get(str(kept.get("monitor")))
    if not same_value(figure, kept["score"]):
        findings.refuse(
            f"metrics.jsonl: {kept.get('monitor')} of epoch {kept.get('epoch')} is {figure}, and {kept['score']} in "
            "checkpoints/best.pt"
        )


def _environment(directory: RunDirectory, trainings: Sequence[Entry], findings: Findings) -> None:
    entry = next((entry for entry in reversed(trainings) if entry.settings.get("from_step") == 0), None)
    if entry is None:
        return  # it was written by a part of the training that was killed
    try:
        said_there = json.loads(directory.environment.read_text(encoding="utf-8"))
        components = dict(said_there["components"])
        named = {str(text).rpartition(" ")[0]: str(text).rpartition(" ")[2] for text in components.values()}
        plugin = str(said_there["plugin"])
        named |= {name: version for name, version in dict(said_there["versions"]).items() if version is not None}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        findings.refuse(f"environment.json: it cannot be read ({type(error).__name__})")
        return
    name, _, version = plugin.rpartition(" ")
    for which, found in (*named.items(), (name, version)):
        if entry.code.get(which) != found:
            findings.refuse(
                f"environment.json: {which} is {found} there, and {entry.code.get(which, 'not there')} in the manifest"
            )
    for key in ("device", "precision"):
        then, now = str(entry.machine.get(key)), str(said_there.get(key)).partition(":")[0]
        if then != now:
            findings.refuse(f"environment.json: {key} is {now} there, and {then} in the manifest")
