from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spine_ignite.errors import DataError
from spine_ignite.volumes.metaheader import read_header

LINES = [
    "ObjectType = Image",
    "NDims = 3",
    "BinaryData = True",
    "CompressedData = False",
    "TransformMatrix = 1 0 0 0 1 0 0 0 1",
    "Offset = -1.5 0 2e1",
    "ElementSpacing = 1 1 4",
    "DimSize = 5 4 3",
    "dim[0] = 3",
    "0008|0060 = MR",
    "ElementType = MET_UCHAR",
    "ElementDataFile = LOCAL",
]


def header(tmp_path: Path, lines: list[str], voxels: bytes = b"\n=\n") -> Path:
    path = tmp_path / "x.mha"
    path.write_bytes("\n".join(lines).encode() + b"\n" + voxels)
    return path


def test_fields_and_length_of_a_header(tmp_path: Path) -> None:
    path = header(tmp_path, LINES)
    fields, end = read_header(path)
    assert fields["dimsize"] == "5 4 3"
    assert fields["0008|0060"] == "MR"
    assert path.read_bytes()[end:] == b"\n=\n"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("NDims", "99999999999999999999 3", "number of dimensions is '99999999999999999999'"),
        ("NDims", "10", "number of dimensions is '10'"),
        ("NDims", "-1", "number of dimensions"),
        ("DimSize", "5 4", "dimsize does not have a number for each dimension"),
        ("DimSize", "5 4 3 2", "dimsize does not have a number for each dimension"),
        ("DimSize", "5 4 0", "its size is '5 4 0'"),
        ("DimSize", "5 4 99999999999", "its size is"),
        ("ElementSpacing", "1 1 nan", "elementspacing does not have"),
        ("TransformMatrix", "1 0 0 1", "transformmatrix does not have"),
        ("Offset", "0 0 1_0", "offset does not have"),
        ("ElementType", "x" * 2000, "a line of its header is not a field"),
    ],
)
def test_values_that_a_reader_must_not_see(tmp_path: Path, key: str, value: str, message: str) -> None:
    lines = [f"{key} = {value}" if line.startswith(f"{key} ") else line for line in LINES]
    with pytest.raises(DataError, match=f"is not a readable MetaImage: .*{message}"):
        read_header(header(tmp_path, lines))


@pytest.mark.parametrize("value", ["LOC%L-x: 1", "x%n 1 3 1", "x%03d.raw 1 3", "x%03d.raw 1 3 1", "LIST", "LIST 2D"])
def test_voxels_in_several_files_are_refused(tmp_path: Path, value: str) -> None:
    """SimpleITK ends the process for some of these, and leaves voxels undefined for others."""
    with pytest.raises(DataError, match="keeps its voxels in several files; write it as one .mha file"):
        read_header(header(tmp_path, [*LINES[:-1], f"ElementDataFile = {value}"]))


def test_order_repetition_and_a_missing_end(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has transformmatrix before NDims"):
        read_header(header(tmp_path, [LINES[4], *LINES]))
    with pytest.raises(DataError, match="has ndims twice"):
        read_header(header(tmp_path, [*LINES[:3], "NDIMS = 3", *LINES[3:]]))
    with pytest.raises(DataError, match="does not say where its voxels are|is not a field"):
        read_header(header(tmp_path, LINES[:-1], b""))
    with pytest.raises(DataError, match="CompressedDataSize|compresseddatasize is '-5'"):
        read_header(header(tmp_path, ["CompressedDataSize = -5", *LINES]))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from(string.printable + "\0é"), max_size=40), max_size=8), st.binary(max_size=64))
def test_any_text_is_read_or_refused(tmp_path: Path, lines: list[str], rest: bytes) -> None:
    path = header(tmp_path, lines, rest)
    try:
        fields, end = read_header(path)
    except DataError:
        return
    assert "elementdatafile" in fields
    assert end <= path.stat().st_size


@pytest.mark.parametrize("size", ["-1", "1", "0.0e0"])
def test_voxels_follow_a_header_without_a_gap(tmp_path: Path, size: str) -> None:
    path = header(tmp_path, [*LINES[:-1], f"HeaderSize = {size}", LINES[-1]])
    if float(size):
        with pytest.raises(DataError, match=f"its HeaderSize is '{size}' before voxels in its file"):
            read_header(path)
    else:
        read_header(path)
