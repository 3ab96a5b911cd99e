"""Fixtures that several test modules share: small volumes and datasets, written to a temporary folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from spine_ignite.hookspecs import hookimpl
from spine_ignite.registry import load_commands, load_registry

# How long an example takes says nothing of what is tested, and a machine may have other things to do.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

Writer = Callable[..., Path]
RunWriter = Callable[..., Path]
Attach = Callable[[Engine, Engine, Any], None]
Plugged = Callable[[Attach], AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]
Install = Callable[..., Path]
Start = Callable[..., list["subprocess.Popen[str]"]]


def _affine(axes: str, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """RAS+ affine of a volume whose axes point towards e.g. P, S and R."""
    ornt = nib.orientations.axcodes2ornt(tuple(axes))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * spacing[axis]
    affine[:3, 3] = (-10.0, 20.0, 30.0)
    return affine


@pytest.fixture(scope="session")
def write_volume() -> Writer:
    """``write_volume(path, array, spacing=(1, 1, 4), axes="PSR")`` writes a NIfTI file and returns its path."""

    def write(
        path: Path,
        array: NDArray[np.generic],
        spacing: tuple[float, float, float] = (1, 1, 4),
        axes: str = "PSR",
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(array, _affine(axes, spacing))
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return path

    return write


@pytest.fixture(scope="session")
def write_series() -> Writer:
    """``write_series(folder, array, affine, **headers)`` writes ``(I, J, K)`` as a DICOM series of K files.

    ``order`` gives the slices in the order of their instance numbers, ``named`` the names of the files; headers
    replace what is written, as ``SeriesNumber=7``. The patient is called SECRET^NAME.
    """
    pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    def write(
        folder: Path,
        array: NDArray[np.uint16],
        affine: NDArray[np.float64],
        order: Sequence[int] | None = None,
        named: str = "IM{:04d}",
        **headers: Any,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        lps = np.diag([-1.0, -1, 1, 1]) @ affine
        lengths = np.linalg.norm(lps[:3, :3], axis=0)
        row, column = lps[:3, 0] / lengths[0], lps[:3, 1] / lengths[1]
        same = {
            "SOPClassUID": MRImageStorage,
            "PatientName": "SECRET^NAME",
            "PatientID": "SECRET-ID-77",
            "PatientBirthDate": "19010203",
            "AccessionNumber": "SECRET-ACC",
            "ReferringPhysicianName": "SECRET^DOCTOR",
            "StudyInstanceUID": generate_uid(entropy_srcs=["study", folder.parent.name]),
            "SeriesInstanceUID": generate_uid(),
            "FrameOfReferenceUID": generate_uid(entropy_srcs=["frame", folder.parent.name]),
            "StudyID": "1",
            "StudyDate": "20200101",
            "StudyTime": "120000",
            "SeriesNumber": 4,
            "Modality": "MR",
            "Manufacturer": "acme",
            "SeriesDescription": "t2 tse sag",
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "EchoTime": 100,
            "RepetitionTime": 3000,
            "SliceThickness": 3,
            "Rows": array.shape[1],
            "Columns": array.shape[0],
            "PixelSpacing": [f"{lengths[1]:.10g}", f"{lengths[0]:.10g}"],
            "ImageOrientationPatient": [f"{number:.12g}"[:16] for number in (*row, *column)],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
        } | headers
        for number, k in enumerate(order if order is not None else range(array.shape[2]), 1):
            header, meta = Dataset(), FileMetaDataset()
            for name, value in same.items():
                setattr(header, name, value)
            header.InstanceNumber, header.SOPInstanceUID = number, generate_uid()
            position = (lps @ [0, 0, k, 1])[:3]
            header.ImagePositionPatient = [f"{number:.10f}"[:16] for number in position]
            header.PixelData = np.ascontiguousarray(array[:, :, k].T, "<u2").tobytes()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
            header.file_meta = meta
            header.save_as(folder / named.format(number), enforce_file_format=True)
        return folder

    return write


@pytest.fixture(scope="session")
def put_into_frames() -> Callable[..., None]:
    """``put_into_frames(folder, file, reverse)`` makes an enhanced MR file of a series; grey values become 2 x + 5."""
    pydicom = pytest.importorskip("pydicom")

    def put(folder: Path, file: Path, reverse: bool = False) -> None:
        """Put the slices of a folder into one file with many frames, in the order of their numbers or against it."""
        headers = sorted(
            (pydicom.dcmread(path) for path in folder.iterdir()), key=lambda h: h.InstanceNumber, reverse=reverse
        )
        whole = pydicom.dcmread(next(iter(folder.iterdir())))
        measures, plane = pydicom.Dataset(), pydicom.Dataset()
        measures.PixelSpacing, measures.SliceThickness = whole.PixelSpacing, whole.SliceThickness
        plane.ImageOrientationPatient = whole.ImageOrientationPatient
        shared = pydicom.Dataset()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
        frames = []
        for number, header in enumerate(headers, 1):
            position, content, value = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
            position.ImagePositionPatient = header.ImagePositionPatient
            content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", number, [1, number]
            content.FrameAcquisitionNumber = 1
            value.RescaleSlope, value.RescaleIntercept, value.RescaleType = 2, 5, "US"
            frame = pydicom.Dataset()
            frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
            frame.PixelValueTransformationSequence = [value]
            frames.append(frame)
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            delattr(whole, name)
        whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        whole.NumberOfFrames, whole.InstanceNumber = len(frames), 1
        whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [shared], frames
        whole.PixelData = b"".join(header.PixelData for header in headers)
        file.parent.mkdir()
        whole.save_as(file)

    return put


@pytest.fixture(scope="session")
def die_at_rename() -> Callable[[int, bool, Callable[[], None]], None]:
    """``die_at_rename(n, after, action)`` does it in a process that ends just before, or just after, rename ``n``."""

    def die(number: int, after: bool, action: Callable[[], None]) -> None:
        if (child := os.fork()) == 0:
            really, renames = os.replace, 0

            def replace(one: Any, two: Any) -> None:
                nonlocal renames
                if renames == number and not after:
                    os._exit(9)
                really(one, two)
                if renames == number:
                    os._exit(9)
                renames += 1

            os.replace = replace  # type: ignore[assignment]
            try:
                action()
            finally:
                os._exit(0)
        os.waitpid(child, 0)

    return die


def _blocks(shift: int) -> NDArray[np.uint8]:
    """Labels of L5, L4 and L3, stacked from foot to head, 48 x 64 x 5 voxels."""
    label = np.zeros((48, 64, 5), np.uint8)
    for k, value in enumerate((2, 3, 4)):
        low = 8 + 17 * k + shift
        label[14:34, low : low + 13, 1:4] = value
    return label


@pytest.fixture
def tiny_dataset(tmp_path: Path, write_volume: Writer) -> Path:
    """A dataset of 4 training and 2 test cases, 48 x 64 x 5 voxels, with the values 0, 2, 3 and 4 (L5, L4, L3).

    The classes are blocks stacked from foot to head on a noisy ramp, so that a network can learn them.
    """
    root = tmp_path / "dataset"
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        split = "train" if number <= 4 else "test"
        label = _blocks(int(rng.integers(-3, 4)))
        image = 100 * (label > 0) + 20 * label + rng.normal(0, 5, label.shape) + np.linspace(0, 40, 64)[None, :, None]
        write_volume(root / split / "source" / f"Case{number}.nii.gz", image.astype(np.int16))
        write_volume(root / split / "label" / f"mask_case{number}.nii.gz", label)
    return root


@pytest.fixture
def two_contrasts(tmp_path: Path, write_volume: Writer) -> Path:
    """A dataset of 5 training and 2 test cases of the contrasts t1 and t2, with the values 0, 2, 3 and 4.

    The t2 images lie on another grid: larger voxels, other axes. Cases 2 and 7 lack them, case 3 lacks t1. Discs of
    signal tell the classes apart in t1 and t2 together only: L5 is dark in both, L4 bright in t2, L3 bright in t1.
    """
    root = tmp_path / "exams"
    rng = np.random.default_rng(0)
    for number in range(1, 8):
        split = "train" if number <= 5 else "test"
        label = _blocks(int(rng.integers(-2, 3)))
        t1 = np.array([100, 0, 20, 30, 200])[label] + rng.normal(0, 4, label.shape)
        t2 = np.array([100, 0, 20, 200, 30])[label] + rng.normal(0, 4, label.shape)
        coarse = t2.reshape(24, 2, 32, 2, 5).mean(axis=(1, 3))
        if number != 3:
            write_volume(root / split / "source" / f"Case{number}_t1.nii.gz", t1.astype(np.int16))
        if number not in (2, 7):
            path = root / split / "source" / f"Case{number}_t2.nii.gz"
            write_volume(path, coarse.astype(np.float32), (2, 2, 4))
            image = nib.load(path)
            affine = image.affine.copy()
            affine[:3, 3] += affine[:3, :3] @ [0.25, 0.25, 0]  # where the centre of four voxels of t1 lies
            moved = nib.Nifti1Image(
                np.ascontiguousarray(np.asarray(image.dataobj).transpose(2, 0, 1)), affine[:, [2, 0, 1, 3]]
            )
            nib.save(moved, path)
        if number == 3:
            label = label.reshape(24, 2, 32, 2, 5)[:, 0, :, 0].transpose(2, 0, 1)
            nib.save(nib.Nifti1Image(np.ascontiguousarray(label), moved.affine), _below(root, split, number))
        else:
            write_volume(_below(root, split, number), label)
    return root


def _below(root: Path, split: str, number: int) -> Path:
    path = root / split / "label" / f"mask_case{number}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def write_run() -> RunWriter:
    """``write_run(folder, "data.context_slices=1", …, seed=0)`` writes a run of a small UNet with random weights.

    It has 8 classes, pixels of 1 mm, and a ``best.pt`` and a ``last.pt`` that differ; of a dataset that is there it
    has a ``split.json``.
    """
    import torch

    from spine_ignite.config import dump_config, load_config
    from spine_ignite.labels import load_scheme
    from spine_ignite.models import create_model
    from spine_ignite.runs.choose_split import choose_split
    from spine_ignite.runs.description import Description
    from spine_ignite.slices.build import build_store

    def write(folder: Path, *overrides: str, seed: int = 0) -> Path:
        base = [
            "data.scheme=lumbar-vertebrae",
            "data.spacing=[1,1]",
            "data.size=[64,64]",
            "model.width=4",
            "model.depth=2",
        ]
        config = load_config(None, [*base, *overrides])
        data = config.data
        scheme = load_scheme(data.scheme)
        size = data.patch.size if data.sampling == "patches" else data.size
        assert data.spacing is not None
        assert size is not None
        description = Description(
            config.model.name,
            config.model.options,
            data.channels,
            scheme,
            data.spacing,
            data.clip_percentiles,
            data.context_slices,
            size,
        )
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(dump_config(config))
        if data.root.is_absolute() and data.root.is_dir():
            split = choose_split(data, config.seed, build_store(data).store)
            (folder / "split.json").write_text(split.to_json())
        for name, number in (("best", 2 * seed), ("last", 2 * seed + 1)):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(number)
                network = create_model(config.model.name, data.channels, scheme.num_classes, **config.model.options)
                for parameter in network.parameters():
                    parameter.data.mul_(2)  # so that no class wins everywhere
            state = {"model": network.state_dict(), "description": description.state_dict()}
            torch.save(state, folder / "checkpoints" / f"{name}.pt")
        return folder

    return write


@pytest.fixture(scope="session")
def write_judged_run(write_volume: Writer) -> Callable[..., Path]:
    """``write_judged_run(root, cases=…, names=…)``: what train and evaluate leave of a run, but for checkpoints.

    The dataset is in ``root/data``, the run in ``root/run``. The cases are columns of a sacrum, three vertebrae and two
    discs, 40 x 72 x 6 voxels; their predictions are shifted more from case to case, the last calls L5 L4, L4 L3 and
    misses L3. ``names`` replaces the names of these six structures.
    """
    from spine_ignite.config import dump_config, parse_config
    from spine_ignite.evaluation.case_results import evaluate_case
    from spine_ignite.evaluation.table_files import write_tables
    from spine_ignite.evaluation.tables import Summary
    from spine_ignite.labels import load_scheme

    def write(
        root: Path,
        cases: Sequence[str] = ("Case5", "Case6", "Case7", "Case8"),
        names: Sequence[str] = ("S", "L5", "L4", "L3", "L4/L5", "L3/L4"),
    ) -> Path:
        run, data = root / "run", root / "data"
        kinds = ("sacrum", "vertebra", "vertebra", "vertebra", "disc", "disc")
        classes = [{"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]}]
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True), 1):
            color = [40 * place, 255 - 30 * place, 90]
            classes.append({"value": 10 * place, "name": name, "kind": kind, "color": color})
        root.mkdir(parents=True, exist_ok=True)
        (root / "scheme.yaml").write_text(json.dumps({"name": "column", "classes": classes}))
        scheme = load_scheme(root / "scheme.yaml")
        rng = np.random.default_rng(5)
        results = []
        for number, case in enumerate(("Case1", "Case2", *cases)):
            split = "train" if number < 2 else "test"
            truth = np.zeros((40, 72, 6), np.uint8)
            for index, low, high in ((1, 4, 16), (2, 18, 29), (5, 30, 33), (3, 34, 45), (6, 46, 49), (4, 50, 62)):
                truth[12:28, low:high, 1:5] = index
            image = 30 * (truth > 0) + 40 * (truth > 4) + rng.integers(0, 25, truth.shape)
            write_volume(data / split / "source" / f"{case}.nii.gz", image.astype(np.int16))
            write_volume(data / split / "label" / f"mask_{case}.nii.gz", 10 * truth)
            if split == "test":
                found = np.roll(truth, number - 2, axis=0)
                if case == cases[-1]:
                    found = np.array([0, 1, 3, 4, 0, 5, 6], np.uint8)[found]
                write_volume(run / "predictions" / "test" / f"{case}.nii.gz", 10 * found)
                results.append(evaluate_case(case, truth, found, (1.0, 1.0, 4.0), scheme))
        settings = {"scheme": "column", "checkpoint": "best.pt", "postprocess": ["levels"]}
        notes = {case: f"{n} voxels changed level" for n, case in enumerate(cases)}
        write_tables(Summary(tuple(results), scheme.names, 2.0, settings, notes), run / "evaluation" / "test")
        config = parse_config(
            {"data": {"root": str(data), "scheme": str(root / "scheme.yaml")}, "model": {"name": "unet"}}
        )
        (run / "config.yaml").write_text(dump_config(config))
        (run / "environment.json").write_text(json.dumps({"versions": {"torch": "2.13.0"}, "device": "cpu"}))
        epochs = [
            {"epoch": n, "train/loss": 2.0 / n, "lr": 0.01, "validation/dice": 1 - 1 / n if n % 2 else None}
            for n in range(1, 8)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in epochs))
        return run

    return write


@pytest.fixture(scope="session")
def judged_run(tmp_path_factory: pytest.TempPathFactory, write_judged_run: Callable[..., Path]) -> Path:
    """A run of :func:`write_judged_run`, to be read only."""
    return write_judged_run(tmp_path_factory.mktemp("judged_run"))


@pytest.fixture
def start_processes() -> Iterator[Start]:
    """``start_processes(count, program, *words)`` starts them as torchrun would; those that are left are killed."""
    started: list[subprocess.Popen[str]] = []

    def run(count: int, *words: str) -> list[subprocess.Popen[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
        new = [
            subprocess.Popen(
                [sys.executable, *words],
                env={**os.environ, **shared, "RANK": str(number), "LOCAL_RANK": str(number)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]
        started.extend(new)
        return new

    yield run
    for process in started:
        process.kill()
        process.communicate()


@contextmanager
def _plugged(attach: Attach) -> Iterator[None]:
    class Plugin:
        @hookimpl
        def attach_handlers(self, trainer: Engine, evaluator: Engine, run: Any) -> None:
            attach(trainer, evaluator, run)

    manager, plugin = load_registry().plugin_manager, Plugin()
    manager.register(plugin, name=f"acme:{id(plugin)}")
    try:
        yield
    finally:
        manager.unregister(plugin)


@pytest.fixture
def plugged() -> Plugged:
    """``with plugged(attach):`` lets the plugin ``acme`` attach handlers to whatever is trained inside."""
    return _plugged


@pytest.fixture
def stopped() -> Stopped:
    """``with stopped(step):`` sends this process a SIGTERM in a step of whatever is trained inside."""

    def stop(step: int) -> AbstractContextManager[None]:
        def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
            event = Events.ITERATION_COMPLETED(once=step)
            trainer.add_event_handler(event, lambda: os.kill(os.getpid(), signal.SIGTERM))

        return _plugged(attach)

    return stop


def _forget_plugins() -> None:
    load_registry.cache_clear()
    load_commands.cache_clear()


@pytest.fixture
def install(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution of one module, and return the folder that holds it; its files are those of pip.

    ``install("acme-nets", source)``, or ``install("acme-nets", register_losses=["Component('mine', 'a.b:c', '…')"])``.
    Deleting the folder uninstalls it. ``groups`` are those of its entry point.
    """

    def make(
        distribution: str,
        source: str = "",
        *,
        version: str = "1.0",
        groups: Sequence[str] = ("spine_ignite",),
        **registered: Sequence[str],
    ) -> Path:
        folder, module = tmp_path_factory.mktemp("site-packages"), f"{distribution.replace('-', '_')}_plugin"
        lines = ["from spine_ignite.hookspecs import hookimpl", "from spine_ignite.spec import Component"]
        for hook, components in registered.items():
            lines += ["@hookimpl", f"def {hook}(register):", *(f"    register({text})" for text in components)]
        (folder / f"{module}.py").write_text(source or "\n".join(lines), encoding="utf-8")
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        entries = "\n".join(f"[{group}]\n{module} = {module}" for group in groups)
        (info / "entry_points.txt").write_text(entries + "\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        made.append(module)
        _forget_plugins()
        return folder

    made: list[str] = []
    yield make
    for module in made:
        sys.modules.pop(module, None)
    _forget_plugins()
