from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.datasets.pairing import match_by_id
from spine_ignite.errors import DataError


@pytest.mark.parametrize(
    ("predictions", "references"),
    [
        (("spine_7_0000", "spine_8_0000"), ("spine_7", "spine_8")),
        (("spine_0000", "spine_0001"), ("spine_0000", "spine_0001")),
        (("spine_0000_0000", "spine_0001_0000"), ("spine_0000", "spine_0001")),
        (("spine_0000", "spine_0001"), ("spine_0000_seg", "mask_spine_0001")),
        (("case7_pred", "Case08-label"), ("mask_case7", "mask_case8")),
    ],
)
def test_predictions_and_references_are_matched(predictions: tuple[str, ...], references: tuple[str, ...]) -> None:
    found, wanted = ([Path(f"{name}.nii.gz") for name in names] for names in (predictions, references))
    assert list(match_by_id(found[::-1], wanted).values()) == list(zip(found, wanted, strict=True))


def test_what_has_no_partner_and_what_has_two_is_told() -> None:
    a, b = Path("a.nii.gz"), Path("b.nii.gz")
    assert match_by_id([a], [b]) == {"a": (a, None), "b": (None, b)}
    with pytest.raises(DataError, match="a_seg.nii.gz has the same case id 'a' as a.nii.gz; rename or remove one"):
        match_by_id([a, Path("a_seg.nii.gz")], [a])
