"""What ``fuzz.py`` damages: valid files of each kind, how they are changed, and what reads them."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import shutil
import struct
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from spine_ignite import cli
from spine_ignite.config import RunConfig, dump_config, load_config
from spine_ignite.datasets.checks import check_dataset
from spine_ignite.errors import SpineIgniteError
from spine_ignite.evaluation.table_files import read_tables, table_hashes
from spine_ignite.labels import load_scheme
from spine_ignite.models import create_model
from spine_ignite.runs.checkpoints import load_network
from spine_ignite.runs.description import Description
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import open_store
from spine_ignite.volumes.metaimage import write as write_metaimage
from spine_ignite.volumes.nrrd import NrrdReader
from spine_ignite.volumes.volume import read_geometry, read_image, read_label

# NIfTI-1: offsets and formats of the header's fields that decide how much is read, and as what.
NIFTI_FIELDS = [(0, "i"), *((40 + 2 * i, "h") for i in range(8)), (70, "h"), (72, "h"), (108, "f"), (112, "f")]
NIFTI_FIELDS += [(116, "f"), (123, "b"), (252, "h"), (254, "h"), *((76 + 4 * i, "f") for i in range(8))]
NIFTI_FIELDS += [(280 + 4 * i, "f") for i in range(12)]
INTEGERS = [0, 1, -1, 2, 3, 7, 8, 127, 255, 256, 4096, 32767, -32768, 2**31 - 1, -(2**31)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, math.inf, -math.inf, math.nan, 352.0, 1e9]
WORDS = "0 -1 1e309 .nan .inf null true [] {} '' \"\\0\" 99999999999999999999 [1,2] {a: 1} !!python/object:os.system x"
NAMES = ["Case1.nii.gz", "case01.nii.gz", "mask_case1.nii.gz", "Case2.mha", "Case3.mhd", "9" * 200 + ".nii", ".nii.gz"]
NAMES += ["Case1.NII", "Fall ä 7.nii.gz", "a\nb.nii.gz", "-rf.nii.gz", "Case1_0000.nii.gz", "notes.txt", "²3.nii.gz"]
FOLDERS = ["train/source", "train/label", "test/source", "test/label", "imagesTr", "labelsTr", "images", "masks"]


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Args:
        seeds: valid contents.
        suffix: of the file's name.
        check: reads the file.
        payload: whether the contents are compressed, and what is changed is inside.
    """

    seeds: tuple[bytes, ...]
    suffix: str
    check: Callable[[Path], object]
    payload: bool = False


def mutate(rng: random.Random, data: bytes, others: tuple[bytes, ...]) -> bytes:
    """Change a few things in ``data``; what is near its beginning more often, since headers are there."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        end = len(changed) if rng.random() < 0.3 else min(len(changed), 400)
        place = rng.randrange(end) if end else 0
        match rng.randrange(8):
            case 0:
                changed[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                offset, kind = rng.choice(NIFTI_FIELDS)
                value = rng.choice(FLOATS) if kind == "f" else _wrapped(rng.choice(INTEGERS), kind)
                changed[offset : offset + struct.calcsize(kind)] = struct.pack(f"<{kind}", value)
            case 2:
                del changed[place:]
            case 3:
                del changed[place : place + rng.randrange(1, 16)]
            case 4:
                changed[place:place] = rng.randbytes(rng.randrange(1, 16))
            case 5:
                other = rng.choice(others)
                changed[place:] = other[rng.randrange(len(other)) :]
            case 6:
                changed[place:place] = rng.choice(WORDS.split()).encode()
            case 7:
                lines = bytes(changed).split(b"\n")
                at = rng.randrange(len(lines))
                key, separator, _ = lines[at].partition(rng.choice((b":", b"=", b",")))
                lines[at : at + 1] = rng.choice(
                    ([], [lines[at]] * 2, [key + separator + b" " + rng.choice(WORDS.split()).encode()])
                )
                changed = bytearray(b"\n".join(lines))
    return bytes(changed)


def _wrapped(value: int, kind: str) -> int:
    bits = 8 * struct.calcsize(kind)
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def read_volume(path: Path) -> None:
    """Read a file in all ways; each may refuse it."""
    refusals = 0
    for read in (read_geometry, read_image, read_label):
        try:
            read(path)
        except SpineIgniteError as error:
            require_sentence(error)
            refusals += 1
    if refusals:
        raise SpineIgniteError(f"{path} is refused by {refusals} of 3 readers")


def read_dataset(path: Path) -> None:
    """Make a folder from the bytes of a file; check it, preprocess it, and look what is left after a refusal."""
    rng = random.Random(path.read_bytes())
    root = path.parent / "dataset"
    volume = (path.parent.parent / "valid.nii.gz").read_bytes()
    for _ in range(rng.randrange(1, 12)):
        folder = root / rng.choice(FOLDERS)
        folder.mkdir(parents=True, exist_ok=True)
        entry = folder / rng.choice(NAMES)
        if not os.path.lexists(entry):
            _make_entry(rng, entry, volume)
    cache = path.parent / "cache"
    config = RunConfig.model_validate({"data": {"root": str(root), "cache": str(cache), "scheme": "lumbar-vertebrae"}})
    try:
        for problem in check_dataset(root, load_scheme("lumbar-vertebrae")).problems:
            require_sentence(problem.message)
        build_store(config.data)
    finally:
        half = [found for found in path.parent.rglob("*") if found.name.startswith(".part-")]
        if half:
            raise AssertionError(f"half-written files are left: {half}")
        if cache.is_dir():
            for store in cache.glob("*/manifest.json"):
                open_store(store.parent)


def _make_entry(rng: random.Random, entry: Path, volume: bytes) -> None:
    match rng.randrange(7):
        case 0:
            entry.write_bytes(b"")
        case 1:
            entry.mkdir()
        case 2:
            entry.symlink_to(rng.choice((entry, entry.parent, Path("/nowhere"))))
        case 3:
            entry.write_bytes(mutate(rng, volume, (volume,)))
        case 4:
            os.mkfifo(entry)
        case _:
            entry.write_bytes(volume)


def run_command(path: Path) -> None:
    """Give the file to the command line in several places: never a traceback, always a known exit code."""
    rng = random.Random(path.read_bytes())
    commands = [
        ["check", str(path)],
        ["show-model", path.read_bytes()[:20].decode(errors="replace").replace("\0", "")],
        ["train", "--config", str(path), "--data", str(path.parent), "--out", str(path.parent / "out")],
        ["evaluate", "--predictions", str(path.parent), "--labels", str(path.parent), "-o", str(path.parent / "out")],
        ["predict", str(path.parent), str(path), "-o", str(path.parent / "out")],
        ["compare", str(path.parent), str(path)],
    ]
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run(rng.choice(commands))
    if "--debug for the traceback" in err.getvalue() or code not in (0, 1, 2):
        raise AssertionError(f"exit code {code}: {err.getvalue()[-2000:]}")
    if code:
        raise SpineIgniteError(err.getvalue().strip() or "no message")


def read_evaluation(path: Path) -> None:
    """The bytes are three files in one, as JSON."""
    parts = path.read_bytes().split(b"\x1e")
    for name, part in zip(("summary.json", "cases.csv", "confusion.csv"), parts, strict=False):
        (path.parent / name).write_bytes(part)
    (path.parent / "classes.csv").touch()
    summary = path.parent / "summary.json"
    try:  # without the checksums of its tables no changed evaluation would be looked into
        plain = json.loads(summary.read_bytes())
        summary.write_text(json.dumps({**plain, "tables": table_hashes(path.parent)}))
    except (ValueError, TypeError, RecursionError, SpineIgniteError):
        pass
    read_tables(path.parent)


def build_targets(folder: Path) -> dict[str, Target]:
    """Make the valid files."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, (20, 24, 4)).astype(np.uint8)
    affine = np.array([[0, 0, 4, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    volumes = []
    for dtype, version in (("<u1", nib.Nifti1Image), ("<i2", nib.Nifti1Image), (">f4", nib.Nifti1Image), ("<f8", 2)):
        kind = nib.Nifti2Image if version == 2 else version
        image = kind(label.astype(dtype), affine)
        if dtype == "<i2":
            image.header.set_slope_inter(2.0, 1.0)
        volumes.append(image.to_bytes())
    nib.save(nib.Nifti1Image(label, affine), folder / "valid.nii.gz")
    write_metaimage(folder / "seed.mha", label, affine)
    scheme = load_scheme("lumbar-vertebrae")
    network = create_model("unet", 1, scheme.num_classes, width=4, depth=2)
    description = Description("unet", {"width": 4, "depth": 2}, 1, scheme, (1.0, 1.0), (0.5, 99.5), 0, (32, 32))
    torch.save({"model": network.state_dict(), "description": description.state_dict()}, folder / "seed.pt")
    config = dump_config(RunConfig()).encode()
    short = b"model: {name: unet, width: 8}\ndata: {root: d, size: [64, 64]}\ntrain:\n  epochs: 2\n"
    evaluation = b"\x1e".join(
        [
            json.dumps(
                {
                    "names": ["background", "L5"],
                    "tolerance": 2.0,
                    "settings": {"scheme": "lumbar-vertebrae"},
                    "failed": {},
                    "per_case": {
                        "1": {
                            "accuracy": 1.0,
                            "level_rate": None,
                            "shift": 0,
                            "reference": "a",
                            "postprocessing": None,
                        }
                    },
                }
            ).encode(),
            b"case,label,dice,iou,precision,recall,fnr,fpr,hd95,assd,nsd,volume_reference,volume_prediction,volume_error\n"
            b"1,L5,1,1,1,1,0,0,0,0,1,1,1,0\n",
            b"case,reference,prediction,voxels\n1,L5,L5,5\n",
        ]
    )
    manifest = (
        b'{"format": 2, "settings": {"scheme": {}, "spacing": [1, 1], "clip_percentiles": [0, 1], "border": "all", '
        b'"orientation": null, "nan": "refuse"}, '
        b'"cases": []}'
    )
    return {
        "nifti": Target(tuple(volumes), ".nii", read_volume),
        "nifti.gz": Target(tuple(volumes), ".nii.gz", read_volume, payload=True),
        "gzip stream": Target((gzip.compress(volumes[0]),), ".nii.gz", read_volume),
        "mha": Target(((folder / "seed.mha").read_bytes(), _plain_mha(label)), ".mha", read_volume),
        **_other_volumes(folder, label, affine),
        "configuration": Target((config, short), ".yaml", load_config),
        "dataset": Target((b"0123456789abcdef",), ".bin", read_dataset),
        "checkpoint": Target(((folder / "seed.pt").read_bytes(),), ".pt", load_network),
        "evaluation": Target((evaluation,), ".bin", read_evaluation),
        "slice store": Target((manifest,), ".bin", lambda path: _store(path)),
        "command line": Target((config, short, volumes[0]), ".yaml", run_command),
    }


def _other_volumes(folder: Path, label: Any, affine: Any) -> dict[str, Target]:
    """NRRD, compressed and as it is; MGH; and the headers of pairs, whose voxels are sound."""
    NrrdReader().write(folder / "seed.nrrd", label, affine, None)
    packed = (folder / "seed.nrrd").read_bytes()
    head, _, _ = packed.replace(b"encoding: gzip", b"encoding: raw").partition(b"\n\n")
    plain = head + b"\n\n" + label.tobytes(order="F")
    mgh = tuple(nib.MGHImage(label.astype(kind), affine).to_bytes() for kind in (np.uint8, np.int16, np.float32))
    headers = []
    for kind in (nib.Nifti1Pair, nib.nifti2.Nifti2Pair, nib.AnalyzeImage):
        nib.save(kind(label, affine if kind is not nib.AnalyzeImage else None), folder / "seed.hdr")
        headers.append((folder / "seed.hdr").read_bytes())

    def read_pair(path: Path) -> None:
        path.with_suffix(".img").write_bytes(label.tobytes(order="F"))
        read_volume(path)

    return {
        "nrrd": Target((packed, plain), ".nrrd", read_volume),
        "mgh": Target(mgh, ".mgh", read_volume),
        "mgz": Target(mgh, ".mgz", read_volume, payload=True),
        "pair": Target(tuple(headers), ".hdr", read_pair),
    }


def _store(path: Path) -> object:
    shutil.copy(path, path.parent / "manifest.json")
    return open_store(path.parent)


def _plain_mha(label: Any) -> bytes:
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    head += "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 5 6 7\nElementSpacing = 1 1 4\nDimSize = 20 24 4\n"
    head += "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    return head.encode() + label.tobytes(order="F")


def require_sentence(error: object) -> None:
    """Raise if an error says nothing, or more than one line."""
    text = str(error)
    if not text.strip() or "\n" in text.strip():
        raise AssertionError(f"the error is not one sentence: {text!r}")
