"""Where the slice store of a configuration lies, and which files are its own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from spine_ignite.config import DataConfig
from spine_ignite.ownership import Listed

STORE_CONTENTS = (
    Listed("", r"manifest\.json"),
    Listed("(train|test)/[0-9a-f]{16}", r"(image|label)\.npy|case\.json"),
)


def store_folder(data: DataConfig) -> Path:
    """Return where the slice store of a configuration lies.

    That is ``data.cache`` if given, else a folder in the dataset, or in the working folder when the dataset is
    read-only; its name depends on the settings, so that two configurations do not rebuild each other's slices.
    """
    if data.cache is not None:
        return data.cache
    settings = repr((data.scheme, data.spacing, data.clip_percentiles, data.border, data.orientation, data.nan))
    if data.masks is not None or data.labelled is not None or data.also:
        others = [(str(item.root.resolve()), item.name, item.masks, item.labelled) for item in data.also]
        settings += repr((data.masks, data.labelled, others))
    if data.contrasts:
        settings += repr(data.contrasts)
    key = hashlib.sha256(settings.encode()).hexdigest()[:8]
    if data.root.is_dir() and os.access(data.root, os.W_OK):
        return stores_of(data.root) / key
    where = hashlib.sha256(str(data.root.resolve()).encode()).hexdigest()[:8]
    return Path(".spine-ignite-cache") / f"{data.root.resolve().name}-{where}" / key


def stores_of(root: Path) -> Path:
    """Return the folder for stores in a dataset, the only one in it that is written to."""
    return root / ".spine-ignite-cache"
