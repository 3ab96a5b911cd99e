"""Verify a run or a cross-validation by its manifest: hashes, records, tables, predictions, and on request weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.errors import RunError, SpineIgniteError, UsageError, suggest
from spine_ignite.files import guard
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.runs.manifest import Chain, read_chain
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.verification.again import check_predictions, check_tables
from spine_ignite.verification.agreement import check_records
from spine_ignite.verification.evaluations import evaluations
from spine_ignite.verification.examined import Examined, said
from spine_ignite.verification.findings import Findings
from spine_ignite.verification.of_study import check_study
from spine_ignite.verification.retrain import retrain
from spine_ignite.verification.stored_files import check_data, check_files

Progress = Callable[[Any], Any]


@dataclass(frozen=True)
class Verification:
    """How a verification ended.

    Args:
        root: what was verified.
        head: of the chain that was verified.
        findings: what fits and what does not.
    """

    root: Path
    head: str
    findings: Findings

    @property
    def exit_code(self) -> int:
        """0 if all that was asked for was checked and fits, else 1."""
        return 0 if self.findings.fits else 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"path": str(self.root), "head": self.head, **self.findings.to_dict()}


def verify(
    root: Path,
    *,
    cells: Sequence[str] = (),
    expect: str | None = None,
    again: Sequence[str] = (),
    quick: bool = False,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Hold a run, a cross-validation or a study against its manifest, and compute again what can be.

    Args:
        root: its folder.
        cells: which parts (the folds of a cross-validation, the cells of a study), by their folders; default all.
        expect: the head that was noted elsewhere, or its first digits, twelve at least. What came after it is left out:
            files must be what they were then.
        again: parts whose networks are trained again; of a run ``"."``.
        quick: only compare hashes and records; compute nothing again.
        data: where the dataset is now; default where it was.
        progress: wraps what is done one by one.

    Raises:
        RunError: there is no run with a manifest.
        UsageError: a part that is not there.
    """
    root = Path(root)
    chain, findings = _chain_of(root), Findings()
    parts = parts_of(chain)
    cells, again = ([_full_name(name, parts) for name in names] for names in (cells, again))
    _require_known(root, parts, [*cells, *(name for name in again if name != ".")])
    if "." in again and parts:
        raise UsageError(f"{root} has {len(parts)} networks; say which to train again, such as {parts[0]}")
    guard(root)
    findings.refuse(*chain.problems)
    expected = chain if expect is None else chain.upto(expect)
    if expected is None:
        findings.refuse(
            f"manifest.jsonl: its head is {chain.head}, and {expect} was expected, which was never its head: it was "
            "written anew, or is of another run"
        )
    elif len(expected.entries) < len(chain.entries):
        findings.note(
            f"{len(chain.entries) - len(expected.entries)} entries came after {expected.head[:12]}, and are left out"
        )
    examined = Examined(root, expected or chain, data, is_whole=expected in (None, chain))
    if not cells:
        _check(examined, findings, quick, "." in again, progress)
    for name in cells or parts:
        _check_part(examined, name, findings, bounded=expect is not None, how=(quick, name in again, progress))
    return Verification(root, examined.chain.head, findings)


def parts_of(chain: Chain) -> list[str]:
    """Return the folders below that have manifests of their own, as the manifest names them."""
    return sorted(chain.parts, key=lambda name: (len(name), name))


def _full_name(name: str, parts: Sequence[str]) -> str:
    """The part that is meant by the name of its folder alone."""
    return next((part for part in parts if part.rpartition("/")[2] == name), name)


def _check(examined: Examined, findings: Findings, quick: bool, again: bool, progress: Progress | None) -> None:
    check_files(examined, findings)
    check_data(examined, findings)
    is_run = examined.directory.config.is_file()
    with as_recorded(examined.directory) if is_run else nullcontext():
        if is_run:
            check_records(examined, findings)
        if examined.is_study:
            check_study(examined, findings, quick)
        elif not quick:
            _compute(examined, findings, progress)
        if again:
            retrain(examined, findings, progress)


def _compute(examined: Examined, findings: Findings, progress: Progress | None) -> None:
    for evaluation in evaluations(examined, findings):
        with tempfile.TemporaryDirectory(prefix="spine-ignite-verify-") as folder:
            try:
                check_predictions(evaluation, Path(folder), findings, progress)
                check_tables(evaluation, Path(folder), findings, progress)
            except SpineIgniteError as error:
                findings.refuse(f"{evaluation.tables}: it cannot be computed again: {said(error)}")


def _check_part(
    whole: Examined, name: str, findings: Findings, *, bounded: bool, how: tuple[bool, bool, Progress | None]
) -> None:
    """Verify a folder below by its own manifest, whose head the whole's has recorded."""
    of_part, recorded = Findings(name), whole.chain.parts[name]
    try:
        chain = _chain_of(whole.root / name)
        of_part.refuse(*chain.problems)
        then = chain.upto(recorded)
        if then is None:
            of_part.refuse(
                f"manifest.jsonl: {recorded} was recorded of it, which was never its head: it was written anew"
            )
        counts = then if bounded and then is not None else chain
        _check(Examined(whole.root / name, counts, whole.data, is_whole=counts == chain), of_part, *how)
    except RunError as error:
        of_part.refuse(said(error))
    findings.add(of_part)


def _chain_of(root: Path) -> Chain:
    chain = read_chain(root)
    if chain is None:
        known = RunDirectory(root).config.is_file() or FoldsDirectory(root).exists
        why = "it was made by an older version, or killed before its first entry" if known else "it is no run"
        raise RunError(f"{root} has no manifest.jsonl to verify it by: {why}")
    return chain


def _require_known(root: Path, parts: Sequence[str], asked: Sequence[str]) -> None:
    for name in asked:
        if name not in parts:
            listed = ", ".join(parts) or "none: it is a single run"
            raise UsageError(f"{root} has no part '{name}'.{suggest(name, parts)} Its parts: {listed}")
