"""What label volumes say about their values to other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.labels import load_scheme
from spine_ignite.volumes.label_description import ITK_SNAP, SLICER, scheme_in, write_tables
from spine_ignite.volumes.volume import read_image, read_label, write_label_like

Writer = Callable[..., Path]


@pytest.mark.parametrize("name", ["mrspineseg", "spider", "spine"])
def test_a_nifti_label_volume_carries_its_scheme_and_nothing_of_the_image(
    tmp_path: Path, write_volume: Writer, name: str
) -> None:
    scheme = load_scheme(name)
    image = write_volume(tmp_path / "image.nii.gz", np.ones((4, 5, 6), np.float32))
    secret = nib.load(image)
    secret.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, 1970"))
    nib.save(secret, image)
    values = scheme.to_values((np.arange(120) % scheme.num_classes).reshape(4, 5, 6).astype(np.uint8))
    out = tmp_path / "labels.nii.gz"
    write_label_like(out, values, read_image(image), scheme=scheme)
    assert scheme_in(out) == scheme
    np.testing.assert_array_equal(read_label(out).array, values)
    written = nib.load(out)
    assert [extension.get_code() for extension in written.header.extensions] == [6]
    assert b"Jane" not in b"".join(extension.get_content() for extension in written.header.extensions)
    np.testing.assert_array_equal(written.affine, nib.load(image).affine)


@pytest.mark.parametrize(
    "comment", [b"written by hand", b'{"spine-ignite label scheme": 3}', b'{"spine-ignite label scheme']
)
def test_other_comments_are_no_scheme(tmp_path: Path, comment: bytes) -> None:
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", comment))
    nib.save(image, tmp_path / "a.nii")
    assert scheme_in(tmp_path / "a.nii") is None
    (tmp_path / "b.nii").write_bytes(b"no image")
    assert scheme_in(tmp_path / "b.nii") is None


def test_tables_of_names_and_colours(tmp_path: Path) -> None:
    """The columns that 3D Slicer's and ITK-SNAP's files have."""
    scheme = load_scheme("spider")
    assert [path.name for path in write_tables(tmp_path, scheme)] == [SLICER, ITK_SNAP]
    slicer = [line.split() for line in (tmp_path / SLICER).read_text().splitlines() if not line.startswith("#")]
    snap = [
        line.split(maxsplit=7) for line in (tmp_path / ITK_SNAP).read_text().splitlines() if not line.startswith("#")
    ]
    assert ["201", "L5/S", "140", "255", "179", "255"] in slicer
    assert ["101", "L5", "242", "61", "61", "255"] in slicer  # a further value of the same structure
    assert ["0", "background", "0", "0", "0", "0"] in slicer
    assert ["201", "140", "255", "179", "1", "1", "1", '"L5/S"'] in snap
    assert ["0", "0", "0", "0", "0", "0", "0", '"background"'] in snap
    (tmp_path / SLICER).write_text("# a colour table of my own\n")
    assert [path.name for path in write_tables(tmp_path, scheme)] == [ITK_SNAP]
    assert (tmp_path / SLICER).read_text() == "# a colour table of my own\n"
