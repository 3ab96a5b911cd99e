"""Files beside the volumes of a folder that are not read: they are told, lest what is in them is taken for done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spine_ignite.names import cut, printable
from spine_ignite.volumes.dicom.dicom_paths import is_slice_name
from spine_ignite.volumes.reader import suffixes_listed, volume_suffix

# What people and programs lay beside images; .raw and .zraw are the voxels of an .mhd or .nhdr.
_SIDECARS = re.compile(
    r"\.(json|txt|csv|tsv|md|rst|ya?ml|xml|html|pdf|xlsx|ods|docx|log|lock|py|sh|md5|sha256|z?raw|bval|bvec)"
)
_IMAGES = re.compile(r"\.(nrrd|nhdr|mgz|mgh|img|hdr|dcm|dicom|ima|mnc|gipl|vtk|par|rec|np[yz])")


def unread_files(folder: Path) -> list[Path]:
    """Return files directly in a folder that are neither volumes nor what lies beside them, in order of their names."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # told where the folder is read
        return []
    return [
        path
        for path in entries
        if not path.name.startswith((".", "~"))
        and (is_slice_name(path) or volume_suffix(path) is None)
        and not _SIDECARS.fullmatch(path.suffix.lower())
        and not is_voxels(path)
        and path.is_file()
    ]


def is_voxels(path: Path) -> bool:
    """Whether a file by its name holds the voxels of a header beside it."""
    bare = _bare(path)
    if bare.suffix.lower() in (".raw", ".zraw"):
        return True
    headers = (bare.with_suffix(suffix) for suffix in (".hdr", ".hdr.gz"))
    return bare.suffix.lower() == ".img" and any(header.is_file() for header in headers)


def no_volume(path: Path) -> str:
    """Say in a sentence that a file that was named is no volume."""
    if is_voxels(path):
        return f"{path} has voxels alone; name the header that lies beside it"
    if path.suffix.lower() == ".zip":
        return f"{path} holds no image of DICOM"
    return f"{path} is not a volume; {suffixes_listed()} are read"


def is_image(path: Path) -> bool:
    """Whether a file is in a format of medical images that is not read."""
    return _IMAGES.fullmatch(_bare(path).suffix.lower()) is not None


def unreadable(path: Path) -> str:
    """Say of such a file what is wrong with it, and what to do."""
    if _bare(path).suffix.lower() == ".img":
        return "has no header (.hdr) beside it; add that, or move the file out of the folder"
    return "is in a format that is not read; convert it to .nii.gz, or move it out of the folder"


def stem_of(path: Path) -> str:
    """Return the name of such a file without its suffix, and without that of a compression."""
    return _bare(path).stem


def describe(folder: Path, files: Sequence[Path]) -> str:
    """Say in a sentence that files are not read; slices of DICOM are counted and not named, as a patient may be."""
    kinds = Counter(_bare(path).suffix.lower() or "no suffix" for path in files)
    listed = ", ".join(kind for kind, _ in kinds.most_common(4)) + (", …" if len(kinds) > 4 else "")
    named = [cut(printable(path.name), 60) for path in files if not is_slice_name(path)]
    names = f": {', '.join(named[:3])}{', …' if len(named) > 3 else ''}" if named else ""
    number = f"{len(files)} files in {folder} are" if len(files) > 1 else f"1 file in {folder} is"
    return f"{number} not read ({listed}){names}; {suffixes_listed()} are"


def _bare(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in (".gz", ".bz2", ".zst") else path
