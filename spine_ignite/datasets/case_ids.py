"""What tells which files belong together: ids from file names, nnU-Net's channels, the natural order of names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from spine_ignite.volumes.reader import volume_stem

# What the names of masks and predictions have before or after the case's own.
_WORDS = "masks?|labels?|d?seg|segmentation|pred|prediction"
CHANNEL = re.compile(r"_(\d{4})$")


def case_id(path: Path) -> str:
    """Return the id that an image, its mask and its predictions share.

    ``Case7.nii.gz``, ``mask_case7.nii.gz`` and ``case07_seg.nii.gz`` are case ``7``; other names are compared whole, in
    lower case.
    """
    return bare_id(volume_stem(path))


def bare_id(stem: str) -> str:
    """Return the id of a file name without suffix; see :func:`case_id`."""
    bare = re.sub(rf"^({_WORDS})[_-](?=.)|(?<=.)[_.-]({_WORDS})$", "", stem.lower())
    number = re.fullmatch(r"case[_-]?0*(\d+)", bare)
    return number.group(1) if number else bare


def natural_order(text: str) -> list[tuple[int, int | str]]:
    """Sort key under which case 9 comes before case 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text) if part]


def without_channel(names: Mapping[Path, str], masks: Mapping[Path, str]) -> dict[Path, str]:
    """Strip nnU-Net's channel (``_0000``) from image names, but not the number of a case that has four digits.

    Masks tell these apart. Without any, names that differ in the number alone are those of cases.
    """
    stems, labelled = set(names.values()), {bare_id(stem) for stem in masks.values()}
    bare = {path: CHANNEL.sub("", stem) for path, stem in names.items()}
    if not masks and len(names) > 1 and len(set(bare.values())) == 1:
        return dict(names)
    return {
        path: bare[path] if f"{bare[path]}_0000" in stems and bare_id(stem) not in labelled else stem
        for path, stem in names.items()
    }
