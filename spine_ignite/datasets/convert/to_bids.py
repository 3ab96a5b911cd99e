"""BIDS: images in ``sub-*/anat``, masks as the derivative dataset ``derivatives/labels``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from spine_ignite.datasets.bids import PARTICIPANTS, BidsName, bids_name
from spine_ignite.datasets.convert.written_layout import IMAGES, SPLITS, Contents, Item, Place, as_json
from spine_ignite.errors import DataError
from spine_ignite.labels.dseg_table import FILE, dseg_table

_VERSION = "1.9.0"
_LABELS = "derivatives/labels"
_IGNORED = f"{SPLITS}\nconversion.json\n.spine-ignite\n"


class BidsFolders:
    """Masks hold the values of their scheme, which ``derivatives/labels/dseg.tsv`` says."""

    layout = "bids"
    consecutive = False

    def places(self, items: Sequence[Item]) -> list[Place]:
        """Names that are BIDS's stay, with the patient's label as ``sub`` where they have another.

        Others are made of patient and contrast, with ``run`` where that is not enough.

        Raises:
            DataError: a name does not tell the contrast, two patients would be one participant, or a patient is both
                in training and in test.
        """
        _require_one_part_each(items)
        subjects = _subjects(items)
        names: dict[str, BidsName] = {}
        for item in items:
            name = wanted = _of_patient(item, subjects[item.patient])
            number = 1
            while _stem(name).lower() in names:
                if any(entity == "run" for entity, _ in wanted.entities):
                    raise DataError(f"two cases would be {_stem(name)}, {item.case.name} for one; rename one of them")
                number += 1
                name = BidsName((*wanted.entities, ("run", str(number))), wanted.suffix)
            names[_stem(name).lower()] = name
        return [_place(name) for name in names.values()]

    def files(self, contents: Contents) -> dict[str, str]:
        """What BIDS asks of a raw dataset and of a derivative one, the table of labels, and a JSON for each mask."""
        program = [{"Name": "spine-ignite convert", "Version": contents.version}]
        raw = {"Name": contents.title, "BIDSVersion": _VERSION, "DatasetType": "raw", "GeneratedBy": program}
        derived = {
            "Name": f"{contents.title}: labels",
            "BIDSVersion": _VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": program,
            "DatasetLinks": {"raw": "../.."},
        }
        parts = {place.name.split("_")[0]: item.part for item, place in contents.pairs}
        columns: dict[str, Any] = {
            "split": {
                "Description": "part of the dataset",
                "Levels": {"train": "to train on, or validate", "test": "to be judged"},
            }
        }
        rows = "".join(f"{who}\t{part}\n" for who, part in sorted(parts.items()))
        files = {
            "dataset_description.json": as_json(raw),
            "README": f"{contents.title}, converted by spine-ignite {contents.version}; labels are in {_LABELS}, their "
            "names and values in its dseg.tsv.\n",
            PARTICIPANTS: f"participant_id\tsplit\n{rows}",
            "participants.json": as_json(columns),
            ".bidsignore": _IGNORED,
            f"{_LABELS}/dataset_description.json": as_json(derived),
            f"{_LABELS}/{FILE}": dseg_table(contents.scheme),
        }
        for item, place in contents.pairs:
            if item.case.label is not None:
                source = {"Sources": [f"bids:raw:{place.image}"]}
                files[place.mask.removesuffix(IMAGES) + ".json"] = as_json(source)
        return files | contents.split_files()


def _require_one_part_each(items: Sequence[Item]) -> None:
    parts: dict[str, str] = {}
    for item in items:
        if parts.setdefault(item.patient, item.part) != item.part:
            raise DataError(
                f"patient {item.patient} has cases both in training and in test, {item.case.name} for one, and BIDS "
                "has one part for each participant; move the cases, or say with --patients who is who"
            )


def _subjects(items: Sequence[Item]) -> dict[str, str]:
    """The label of each patient, letters and digits alone."""
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for item in items:
        label = re.sub(r"[^A-Za-z0-9]", "", item.patient.removeprefix("sub-"))
        other = owners.setdefault(label.lower(), item.patient)
        if not label or other != item.patient:
            raise DataError(
                f"patients {other} and {item.patient} would both be sub-{label}; give them other names with --patients"
                if label
                else f"patient {item.patient} has neither letters nor digits; give another name with --patients"
            )
        found[item.patient] = label
    return found


def _of_patient(item: Item, subject: str) -> BidsName:
    """The name of a case, with its patient's label: tables of patients may say that two names' subjects are one."""
    name = bids_name(item.case.name)
    if name is None or name.entities[0][0] != "sub":
        return _made(item, subject)
    return BidsName((("sub", subject), *name.entities[1:]), name.suffix)


def _made(item: Item, subject: str) -> BidsName:
    if item.contrast is None:
        raise DataError(
            f"the name of {item.case.name} does not tell its contrast, which BIDS wants in it; say it with --contrast, "
            "as in --contrast T2w"
        )
    space = [("acq", "SPACE")] if re.search(r"(?i)[_-]space$", item.case.name) else []
    return BidsName((("sub", subject), *space), item.contrast)


def _stem(name: BidsName) -> str:
    return "_".join([*(f"{entity}-{value}" for entity, value in name.entities), name.suffix])


def _place(name: BidsName) -> Place:
    """Where an image lies, and its mask, whose ``desc`` is the contrast, as entities alone do not tell whose it is."""
    entities = dict(name.entities)
    session = f"/ses-{entities['ses']}" if "ses" in entities else ""
    folder = f"sub-{entities['sub']}{session}/anat"
    mask = _stem(BidsName((*name.of_image, ("desc", name.suffix)), "dseg"))
    return Place(_stem(name), f"{folder}/{_stem(name)}{IMAGES}", f"{_LABELS}/{folder}/{mask}{IMAGES}")
