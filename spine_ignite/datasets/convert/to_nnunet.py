"""nnU-Net's raw folder, version 2: ``imagesTr``, ``labelsTr``, ``imagesTs``, ``dataset.json``, and the splits."""

from __future__ import annotations

from collections.abc import Sequence

from spine_ignite.datasets.convert.written_layout import IMAGES, Contents, Item, Place, as_json, decathlon_places
from spine_ignite.labels import dataset_json


class NnUNetRaw:
    """Masks hold consecutive values, named in ``dataset.json``; ``labelsTs`` has the masks of test cases, if any."""

    layout = "nnunet"
    consecutive = True

    def places(self, items: Sequence[Item]) -> list[Place]:
        """Cases keep their names; images end in the channel ``_0000``."""
        return decathlon_places(items, "_0000")

    def files(self, contents: Contents) -> dict[str, str]:
        """``dataset.json``, and ``splits_final.json`` if there are splits."""
        labels = {c.name: c.value for c in contents.scheme.classes} | dict.fromkeys(
            [dataset_json.IGNORE] if contents.scheme.ignore else [], max(contents.scheme.ignore, default=0)
        )
        described = {
            "name": contents.title,
            "channel_names": {"0": contents.contrast},
            "labels": {"background" if value == 0 else name: value for name, value in labels.items()},
            "numTraining": len(contents.of("train")),
            "file_ending": IMAGES,
        }
        return {dataset_json.FILE: as_json(described), **contents.split_files()}
