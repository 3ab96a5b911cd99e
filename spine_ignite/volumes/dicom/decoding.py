"""The grey values of a stack, as the scanner means them: decompressed, with slope and intercept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.dicom.archives import Archive, Member
from spine_ignite.volumes.dicom.dicom_headers import Image, quiet
from spine_ignite.volumes.dicom.stacks import Stack

_IMPLICIT = "1.2.840.10008.1.2"
# What pip installs for a compression; pydicom brings RLE itself, and Pillow the JPEG of 8 bits and JPEG 2000.
_DECODERS = (
    (("4.50", "4.51", "4.57", "4.70"), "pylibjpeg pylibjpeg-libjpeg"),
    (("4.80", "4.81"), "pyjpegls"),
    (("4.90", "4.91", "4.92", "4.93", "4.201", "4.202", "4.203"), "pylibjpeg pylibjpeg-openjpeg"),
)


def read_voxels(archive: Archive, stack: Stack, what: str) -> NDArray[Any]:
    """Return the voxels ``(columns, rows, slices)`` of a stack; integers where no slope or intercept says otherwise.

    Args:
        archive: its source.
        stack: the slices.
        what: names the stack in messages.

    Raises:
        DataError: a file is gone, truncated or corrupt, or its compression needs a package that is not there.
    """
    slices: list[NDArray[Any] | None] = [None] * len(stack.images)
    with quiet() as pydicom:
        for member, places in _by_file(stack.images).items():
            try:
                header = pydicom.dcmread(io.BytesIO(archive.read(member)), force=True)
                _require_decoder(pydicom, header, what)
                for place in places:
                    slices[place] = _slice(pydicom, header, stack.images[place])
            except (DataError, MemoryError):
                raise
            except Exception:  # each decoder has its own; what they say may quote the file
                numbers = [stack.images[place].instance for place in places[:1]]
                raise DataError(f"{what} cannot be read: image {numbers[0]} is truncated, corrupt or gone") from None
    return np.ascontiguousarray(np.stack([part for part in slices if part is not None], axis=-1).transpose(1, 0, 2))


def same_pixels(archive: Archive) -> Any:
    """Return a function that tells whether two images of a source have the same pixels."""

    def same(one: Image, other: Image) -> bool:
        if one.member == other.member:
            return False
        with quiet() as pydicom:
            try:
                first, second = (pydicom.dcmread(io.BytesIO(archive.read(i.member)), force=True) for i in (one, other))
                return bool(np.array_equal(_slice(pydicom, first, one), _slice(pydicom, second, other)))
            except Exception:
                return False

    return same


def headers_of(archive: Archive, stack: Stack) -> list[Any]:
    """Return the whole of the files of a stack as pydicom's data sets, in the order of its slices, each once.

    Raises:
        DataError: a file is gone or cannot be read.
    """
    with quiet() as pydicom:
        try:
            return [pydicom.dcmread(io.BytesIO(archive.read(m)), force=True) for m in _by_file(stack.images)]
        except Exception:
            raise DataError(
                f"{archive.path} has lost files of the series, or they were changed; read it again"
            ) from None


def _by_file(images: tuple[Image, ...]) -> dict[Member, list[int]]:
    places: dict[Member, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.member, []).append(place)
    return places


def _require_decoder(pydicom: Any, header: Any, what: str) -> None:
    syntax = _syntax(header)
    if not syntax.is_compressed or syntax.is_deflated:
        return
    try:
        available = pydicom.pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        raise DataError(f"{what} is compressed as {syntax.name}, which is not read; convert it to NIfTI") from None
    if not available:
        ending = syntax.removeprefix(f"{_IMPLICIT}.")
        packages = next((names for endings, names in _DECODERS if ending in endings), "python-gdcm")
        raise DataError(f"{what} is compressed as {syntax.name}, which needs another package: pip install {packages}")


def _syntax(header: Any) -> Any:
    from pydicom.uid import UID

    meta = getattr(header, "file_meta", None)
    return UID(str((meta.get("TransferSyntaxUID") if meta is not None else None) or _IMPLICIT))


def _slice(pydicom: Any, header: Any, image: Image) -> NDArray[Any]:
    """Return the grey values ``(rows, columns)`` of an image."""
    meta = getattr(header, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        header.ensure_file_meta()
        header.file_meta.TransferSyntaxUID = _IMPLICIT
    pixels: NDArray[Any] = np.asarray(pydicom.pixels.pixel_array(header, index=image.frame or 0))
    if pixels.shape != image.size:
        raise ValueError("another size than its header")
    if header.get("ModalityLUTSequence"):
        mapped: NDArray[Any] = pydicom.pixels.apply_modality_lut(pixels, header)
        return mapped
    slope, intercept = _rescale(header, image.frame)
    if (slope, intercept) == (1.0, 0.0):
        return pixels
    scaled: NDArray[np.float32] = pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return scaled


def _rescale(header: Any, frame: int | None) -> tuple[float, float]:
    for groups in _groups(header, frame):
        for item in groups.get("PixelValueTransformationSequence") or ():
            return float(item.RescaleSlope), float(item.RescaleIntercept)
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))


def _groups(header: Any, frame: int | None) -> Iterator[Any]:
    if frame is not None:
        yield header.PerFrameFunctionalGroupsSequence[frame]
        yield from header.get("SharedFunctionalGroupsSequence") or ()
