"""What DICOM calls the structures of a spine: SNOMED CT codes, as pydicom's dictionary has them."""

from __future__ import annotations

import re
from typing import Any

from spine_ignite.labels.scheme import LabelClass

PRIVATE = "99SPINEIGNITE"  # the scheme of codes for what SNOMED CT, as in pydicom, has none for
_KINDS = {"sacrum": "Sacrum", "canal": "VertebralCanal", "cord": "SpinalCord", "rib": "Rib"}
_LEVEL = re.compile(r"[CTL]\d{1,2}")


def category() -> Any:
    """Return the code of the category that all of these structures are in: anatomical structure."""
    from pydicom.sr.codedict import codes

    return codes.SCT.AnatomicalStructure


def code_of(structure: LabelClass) -> Any:
    """Return the code of a structure: of its level, where there is one.

    L6 and T13 have none and are vertebrae; discs beside them, and what is no part of a spine, get a private code.
    """
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    keyword = _KINDS.get(structure.kind) or _keyword(structure)
    found = getattr(codes.SCT, keyword, None) if keyword else None
    if found is None and structure.kind == "vertebra":
        found = codes.SCT.Vertebra
    return found or Code(f"value-{structure.value}", PRIVATE, structure.name[:64])


def _keyword(structure: LabelClass) -> str:
    """Return the keyword of a level in the dictionary: ``L4Vertebra``, ``L4L5Disc``, ``L5S1Disc``."""
    parts = [part.upper() for part in re.split(r"[/_-]", structure.name.strip())]
    if structure.kind == "vertebra" and len(parts) == 1 and _LEVEL.fullmatch(parts[0]):
        return f"{parts[0]}Vertebra"
    if structure.kind == "disc" and len(parts) == 2 and _LEVEL.fullmatch(parts[0]):
        below = "S1" if parts[1] in ("S", "S1") else parts[1]
        return f"{parts[0]}{below}Disc"
    return ""
