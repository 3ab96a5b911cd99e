"""MONAI's datalist in the form of the Medical Segmentation Decathlon, with ``fold`` for each training case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spine_ignite.datasets.convert.written_layout import Contents, Item, Place, as_json, decathlon_places
from spine_ignite.labels import dataset_json


class DecathlonDatalist:
    """Masks hold consecutive values, named in ``dataset.json``; so do the masks of test cases, in ``labelsTs``."""

    layout = "monai"
    consecutive = True

    def places(self, items: Sequence[Item]) -> list[Place]:
        """Cases keep their names, images and masks alike."""
        return decathlon_places(items)

    def files(self, contents: Contents) -> dict[str, str]:
        """``dataset.json``; a single split is the list ``validation``, several are each entry's ``fold``."""
        names = {c.value: "background" if c.value == 0 else c.name for c in contents.scheme.classes}
        names |= dict.fromkeys(contents.scheme.ignore, dataset_json.IGNORE)
        parts: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
        folds = _folds(contents)
        held_out = contents.folds[0]["val"] if len(contents.folds) == 1 else []
        for item, place in contents.pairs:
            entry: dict[str, Any] = {"image": place.image}
            if item.case.label is not None:
                entry["label"] = place.mask
            if place.name in folds:
                entry["fold"] = folds[place.name]
            part = "test" if item.part == "test" else "validation" if place.name in held_out else "training"
            parts[part].append(entry)
        described = {
            "name": contents.title,
            "tensorImageSize": "3D",
            "modality": {"0": contents.contrast},
            "labels": {str(value): name for value, name in sorted(names.items())},
            "numTraining": len(parts["training"]),
            "numTest": len(parts["test"]),
            **{part: entries for part, entries in parts.items() if entries or part != "validation"},
        }
        splits = {} if folds or held_out else contents.split_files()
        return {dataset_json.FILE: as_json(described), **splits}


def _folds(contents: Contents) -> dict[str, int]:
    """The fold that holds each case out; none if folds are no partition of the training cases."""
    if len(contents.folds) < 2:
        return {}
    held_out = [(name, number) for number, fold in enumerate(contents.folds) for name in fold["val"]]
    training = sorted(place.name for _, place in contents.of("train"))
    whole = all(sorted([*fold["train"], *fold["val"]]) == training for fold in contents.folds)
    return dict(held_out) if whole and sorted(name for name, _ in held_out) == training else {}
