"""Hashes against files: those of the run, and the images and masks of its dataset."""

from __future__ import annotations

from spine_ignite.datasets.cases import Case
from spine_ignite.errors import DataError, SpineIgniteError
from spine_ignite.runs.manifest import DataFile
from spine_ignite.verification.examined import Examined, said
from spine_ignite.verification.findings import Findings
from spine_ignite.volumes.contrasts import contrasts_sha256
from spine_ignite.volumes.digests import file_sha256


def check_files(examined: Examined, findings: Findings) -> None:
    """Compare each file of the run with the hash that was recorded of it last."""
    for path, (sha256, number) in sorted(examined.chain.files.items()):
        kind = examined.chain.entries[number].kind
        try:
            now = file_sha256(examined.root / path) if (examined.root / path).exists() else None
        except DataError as error:
            findings.refuse(f"{path}: {said(error)}")
            continue
        if now is None:
            findings.refuse(f"{path}: it is gone, which was recorded by entry {number + 1} ({kind})")
        elif now != sha256:
            findings.refuse(f"{path}: it is not the file that entry {number + 1} ({kind}) recorded")
        else:
            findings.checked["files"] += 1
    for summary in sorted(examined.root.glob("evaluation/*/summary.json")):
        if (name := examined.relative(summary)) not in examined.chain.files:
            tell = findings.leave if examined.is_whole else findings.note
            tell(f"{name}: no entry of the manifest records it")


def check_data(examined: Examined, findings: Findings) -> None:
    """Compare the images and masks of each dataset with the hashes that were recorded of them last."""
    seen: set[tuple[str, str]] = set()
    for _, entry in reversed(examined.live):
        where = str(entry.settings.get("data"))
        wanted = {name: item for name, item in entry.data.items() if (where, name) not in seen}
        if not wanted:
            continue
        seen |= {(where, name) for name in wanted}
        try:
            cases = examined.cases(entry)
        except SpineIgniteError as error:
            findings.leave(f"images and masks: {said(error)}")
            continue
        for name, item in wanted.items():
            if name not in cases:
                findings.refuse(f"data: case {name} is gone from the dataset")
            else:
                _check_case(cases[name], item, findings)


def _check_case(case: Case, recorded: DataFile, findings: Findings) -> None:
    for what, path, sha256 in (("image", case.image, recorded.image), ("mask", case.label, recorded.mask)):
        if sha256 is None:
            continue  # a mask that came later
        if path is None:
            findings.refuse(f"data: the mask of {case.name} is gone")
            continue
        try:
            same = contrasts_sha256(path, case.images if path == case.image else {}) == sha256
        except DataError as error:
            findings.refuse(f"data: {said(error)}")
            continue
        if same:
            findings.checked["images and masks"] += 1
        else:
            findings.refuse(f"data: the {what} of {case.name} ({path}) is another file than was recorded")
