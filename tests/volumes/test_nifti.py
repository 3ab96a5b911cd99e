from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.errors import DataError
from spine_ignite.volumes.volume import Reading, read_image, read_label, write_label_like

Writer = Callable[..., Path]
SHAPE = (4, 3, 2)
PLACE = ("sform_code", "srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units")


def write(path: Path, version: int, big_endian: bool, **fields: Any) -> Path:
    """Write fields as they are given, which nibabel's setters would not."""
    header = (nib.Nifti2Header if version == 2 else nib.Nifti1Header)(endianness=">" if big_endian else "<")
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.int16)
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    for name, value in fields.items():
        header[name] = value
    voxels = np.arange(24, dtype=">i2" if big_endian else "<i2")
    path.write_bytes(header.binaryblock + b"\0" * 4 + voxels.tobytes())
    return path


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """Fields as programs write them: what is used is sound, what is not may be anything."""
    number = st.floats(-300, 300, width=32)
    vector = np.array(draw(st.tuples(number, number, number)), np.float64)
    length = draw(st.sampled_from((0.0, 0.4, 1 - 1e-6, 1.0, 1 + 1e-7, 1 + 3e-6, 1.002)))
    quaternion = vector / max(np.linalg.norm(vector), 1e-6) * length
    spacing = draw(st.tuples(*[st.floats(0.25, 6, width=32)] * 3))
    turn = nib.quaternions.quat2mat(draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)))
    rows = np.column_stack([turn * spacing, draw(st.tuples(number, number, number))])
    sform = draw(st.sampled_from((0, 1, 2, 4)))
    qform = draw(st.sampled_from((0, 1, 2)) if sform else st.just(1))
    if sform and draw(st.booleans()):  # the qform is not used
        quaternion = np.array(draw(st.sampled_from(((np.nan, 0, 0), (3.0, 4.0, 0.0), (0.0, np.inf, 0.0)))))
    fields: dict[str, Any] = {"qform_code": qform, "sform_code": sform}
    fields["pixdim"] = [draw(st.sampled_from((1, -1, 0, 2, np.nan))), *spacing, *[draw(st.sampled_from((0, 1, 7)))] * 4]
    fields |= {f"quatern_{axis}": part for axis, part in zip("bcd", quaternion, strict=True)}
    fields |= {
        f"qoffset_{axis}": part for axis, part in zip("xyz", draw(st.tuples(number, number, number)), strict=True)
    }
    fields |= {f"srow_{axis}": row for axis, row in zip("xyz", rows, strict=True)}
    fields["xyzt_units"] = draw(st.sampled_from((0, 2, 10, 5, 255)))
    return fields


@given(fields=headers(), version=st.sampled_from((1, 2)), big_endian=st.booleans(), suffix=st.sampled_from(("", ".gz")))
def test_whatever_a_header_says_its_labels_lie_where_the_image_lies(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], version: int, big_endian: bool, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("headers")
    image = read_image(write(folder / "image.nii", version, big_endian, **fields), Reading("any"))
    labels = np.arange(24, dtype=np.uint8).reshape(SHAPE)
    write_label_like(folder / f"label.nii{suffix}", labels, image)
    found, plain = read_label(folder / f"label.nii{suffix}", Reading("any")), nib.load(folder / f"label.nii{suffix}")
    np.testing.assert_array_equal(found.array, labels)
    np.testing.assert_allclose(found.affine, image.affine, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(plain.affine, found.affine, rtol=1e-6, atol=1e-4)
    assert np.isfinite(plain.header.get_qform()).all(), "other programs read the qform too"
    for name in PLACE:  # as it was, bit for bit
        np.testing.assert_array_equal(plain.header[name], np.asarray(fields[name], plain.header[name].dtype))


@pytest.mark.parametrize("sform", [0, 1])
def test_a_quaternion_that_rounding_made_too_long_is_divided_by_its_length(tmp_path: Path, sform: int) -> None:
    """As the standard's own library does; the turn is by 180 degrees about (1, 2, 2) / 3."""
    axis = np.array([1, 2, 2]) / 3
    spacing = np.array([0.5, 0.75, 4.0])
    expected = (2 * np.outer(axis, axis) - np.eye(3)) * spacing
    rows = {f"srow_{name}": [*row, 0] for name, row in zip("xyz", expected, strict=True)}
    turn = {f"quatern_{name}": part * (1 + 3e-6) for name, part in zip("bcd", axis, strict=True)}
    path = write(
        tmp_path / "x.nii", 1, False, pixdim=[1, *spacing, 1, 1, 1, 1], qform_code=1, sform_code=sform, **rows, **turn
    )
    like = read_image(path)
    np.testing.assert_allclose(like.affine[:3, :3], expected, atol=1e-5)
    write_label_like(tmp_path / "label.nii", np.ones(SHAPE, np.uint8), like)
    np.testing.assert_allclose(nib.load(tmp_path / "label.nii").header.get_qform()[:3, :3], expected, atol=1e-5)


def test_a_quaternion_that_is_no_rotation_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.nii", 1, False, qform_code=1, quatern_b=1.5, pixdim=[1] * 8)
    with pytest.raises(DataError, match=r"x.nii has a quaternion of length 1.5, which is no rotation"):
        read_image(path)


def test_an_analyze_header_is_not_taken_for_nifti(tmp_path: Path) -> None:
    block = bytearray(nib.Nifti1Image(np.ones(SHAPE, np.int16), np.eye(4)).to_bytes())
    struct.pack_into("4s", block, 344, b"\0\0\0\0")
    (tmp_path / "x.nii").write_bytes(block)
    with pytest.raises(DataError, match="is not a readable NIfTI image"):
        read_image(tmp_path / "x.nii")
