"""What the values of a label volume mean, for other programs: in the file itself, and as tables of names and colours.

A NIfTI label volume carries its scheme as an extension of the kind "comment" (code 6: plain text, which every program
may skip). 3D Slicer takes names and colours from a colour table, ITK-SNAP from a file of label descriptions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib

from spine_ignite.errors import UsageError
from spine_ignite.files import write_text
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.labels.scheme import FILES
from spine_ignite.volumes.dicom import dicom_paths

COMMENT = 6  # NIFTI_ECODE_COMMENT
_KEY = "spine-ignite label scheme"
_LONGEST = 1 << 20  # bytes that are looked at
_USE = "for research; not a diagnosis"
_MADE = "made by spine-ignite"
SLICER, ITK_SNAP = "labels.ctbl", "labels.itksnap.txt"


def as_comment(scheme: LabelScheme) -> str:
    """Return the text of the extension: the scheme as JSON, ASCII alone."""
    return json.dumps({_KEY: scheme.to_dict(), "use": _USE}, separators=(",", ":"))


def scheme_in(path: Path) -> LabelScheme | None:
    """Return the scheme that a label volume carries, NIfTI or a DICOM segmentation of ours; None if it carries none."""
    if dicom_paths.is_slice_name(path):
        return _named_scheme(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    try:
        extensions = nib.load(path).header.extensions
    except Exception:  # nibabel raises many kinds; what is wrong with the file is told where it is read
        return None
    for extension in extensions:
        if extension.get_code() == COMMENT and (scheme := _parsed(extension.get_content())) is not None:
            return scheme
    return None


def _named_scheme(path: Path) -> LabelScheme | None:
    """Return the scheme that segments name, if it is installed and gives their values their names."""
    from spine_ignite.volumes.dicom.segmentation_reading import described_scheme

    try:
        described = described_scheme(path)
        scheme = load_scheme(described[0]) if described is not None and not described[0].endswith(FILES) else None
    except UsageError:
        return None
    if scheme is None or described is None:
        return None
    names = {c.value: c.name for c in scheme.classes}
    return scheme if all(names.get(value) == name for value, name in described[1].items()) else None


def _parsed(content: Any) -> LabelScheme | None:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    if len(text) > _LONGEST or _KEY not in text:
        return None
    try:
        return LabelScheme.from_dict(json.loads(text.rstrip("\0 "))[_KEY])
    except (ValueError, KeyError, TypeError, RecursionError, UsageError):
        return None


def slicer_table(scheme: LabelScheme) -> str:
    """Return a colour table of 3D Slicer: value, name without blanks, red, green, blue and opacity in 0 … 255."""
    lines = [f"# Colours of the label scheme {scheme.name} for 3D Slicer, {_MADE} ({_USE})"]
    for value, name, color, shown in _entries(scheme):
        lines.append(f"{value} {'_'.join(name.split())} {color[0]} {color[1]} {color[2]} {255 if shown else 0}")
    return "\n".join(lines) + "\n"


def itk_snap_table(scheme: LabelScheme) -> str:
    """Return label descriptions of ITK-SNAP: value, red, green, blue, opacity 0 … 1, whether shown, in 3D too, name."""
    lines = [
        f"# ITK-SnAP Label Description File: label scheme {scheme.name}, {_MADE} ({_USE})",
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL",
    ]
    for value, name, (red, green, blue), shown in _entries(scheme):
        quoted = name.replace('"', "'")
        one = int(shown)
        lines.append(f'{value:5d} {red:5d} {green:4d} {blue:4d} {one:6d} {one:4d} {one:3d}    "{quoted}"')
    return "\n".join(lines) + "\n"


def write_tables(folder: Path, scheme: LabelScheme) -> list[Path]:
    """Write both tables into a folder of label volumes; a file of somebody else under their names is left alone.

    Returns:
        The files that are ours.

    Raises:
        RunError: a file cannot be written.
    """
    written = []
    for name, text in ((SLICER, slicer_table(scheme)), (ITK_SNAP, itk_snap_table(scheme))):
        path = folder / name
        if not path.exists() or _is_ours(path):
            write_text(path, text)
            written.append(path)
    return written


def _is_ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _MADE in file.readline(1000)
    except OSError:
        return False


def _entries(scheme: LabelScheme) -> list[tuple[int, str, tuple[int, int, int], bool]]:
    """Value, name, colour and whether it is shown, by value; merged values have the name of their class."""
    found = [(value, c.name, c.color, c.kind != "background") for c in scheme.classes for value in c.values]
    return sorted(found)
