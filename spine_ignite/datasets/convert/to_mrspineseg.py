"""The layout of MRSpineSeg, which the documentation begins with: ``source`` and ``label`` in ``train`` and ``test``."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from spine_ignite.datasets.case_ids import bare_id
from spine_ignite.datasets.convert.written_layout import IMAGES, Contents, Item, Place
from spine_ignite.errors import DataError

SCHEME = "scheme.yaml"


class MrSpineSegFolders:
    """Masks hold the values of their scheme, which ``scheme.yaml`` says."""

    layout = "mrspineseg"
    consecutive = False

    def places(self, items: Sequence[Item]) -> list[Place]:
        """Cases keep their names.

        Raises:
            DataError: two names are the same case to this layout, which pairs by case id.
        """
        ids: dict[str, str] = {}
        found = []
        for item in items:
            name = item.case.name
            other = ids.setdefault(bare_id(name), name)
            if other != name:
                raise DataError(
                    f"{other} and {name} would be the same case '{bare_id(name)}' in this layout; rename one of them"
                )
            found.append(Place(name, f"{item.part}/source/{name}{IMAGES}", f"{item.part}/label/mask_{name}{IMAGES}"))
        return found

    def files(self, contents: Contents) -> dict[str, str]:
        """``scheme.yaml``, and ``splits_final.json`` if there are splits."""
        scheme = yaml.safe_dump(contents.scheme.to_dict(), sort_keys=False, default_flow_style=None)
        return {SCHEME: scheme, **contents.split_files()}
