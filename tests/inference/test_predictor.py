from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor, nn

from spine_ignite.config.data import BorderRule
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.evaluation.judge import evaluate_folders
from spine_ignite.inference.inputs import collect_jobs
from spine_ignite.inference.members import Member
from spine_ignite.inference.predictor import Predictor, Structures, normalised_entropy
from spine_ignite.labels import load_scheme
from spine_ignite.machine.precision import choose_precision
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.description import Description
from spine_ignite.slices.normalise import prepare_image
from spine_ignite.volumes import metaimage
from spine_ignite.volumes.orientation import affine_of
from spine_ignite.volumes.volume import Volume, read_image, read_label, write_label_like

CPU = torch.device("cpu")
Writer = Callable[..., Path]
ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]
CLASSES = 8  # of the scheme lumbar-vertebrae


class Threshold(nn.Module):
    """Calls bright pixels class 1, and pixels whose neighbour slices are both bright class 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(tuple(x.shape))
        middle = x[:, self.channels // 2]
        around = torch.minimum(x[:, 0], x[:, -1]) if self.channels > 1 else torch.full_like(middle, -9)
        background = torch.zeros_like(middle)
        both = torch.where((around > 0) & (middle > 0), middle + 1, -9.0)
        return torch.stack([background, middle, both, *[background - 9] * (CLASSES - 3)], 1)


class Linear(nn.Module):
    """Logits that are random multiples of the brightness."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.slopes = 2 * torch.randn(CLASSES, generator=torch.Generator().manual_seed(seed))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, x.shape[1] // 2, None] * self.slopes[:, None, None]


def trained(
    spacing: tuple[float, float],
    context: int = 0,
    size: tuple[int, int] = (8, 8),
    network: nn.Module | None = None,
    scheme: str = "lumbar-vertebrae",
    border: BorderRule = "all",
) -> TrainedNetwork:
    channels = 2 * context + 1
    description = Description("unet", {}, channels, load_scheme(scheme), spacing, (0.0, 100.0), context, size, border)
    return TrainedNetwork(network or Threshold(channels), description, Path("run/checkpoints/x.pt"))


def predictor(*networks: TrainedNetwork, batch_size: int = 3) -> Predictor:
    members = [Member(network) for network in networks]
    return Predictor(members, device=CPU, precision=choose_precision("fp32", CPU), batch_size=batch_size)


def predict(network: TrainedNetwork, volume: Volume, batch_size: int = 3) -> Any:
    return predictor(network, batch_size=batch_size).segment(volume).values


def probabilities(of: Predictor, volume: Volume) -> Any:
    """``(S, C, H0, W0)``, all slices at once."""
    return np.concatenate([batch.numpy().copy() for batch in of.probabilities(volume)[1]])


@pytest.mark.parametrize("axes", ["PSR", "RAS", "LPI", "SAL"])
def test_the_labels_lie_where_the_structure_is(tmp_path: Path, write_volume: Writer, axes: str) -> None:
    array = np.zeros((20, 24, 22), np.float32)
    array[4:13, 6:18, 5:15] = 100
    volume = read_image(write_volume(tmp_path / "x.nii.gz", array, spacing=(1, 1, 1), axes=axes))
    np.testing.assert_array_equal(predict(trained((1.0, 1.0)), volume), np.where(array > 0, 2, 0))


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_may_have_a_single_slice_row_or_column(
    tmp_path: Path, write_volume: Writer, axis: int, suffix: str
) -> None:
    """In each of the 48 orders of voxels: to predict, to write, and to judge."""
    shape = [9, 8, 7]
    shape[axis] = 1
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    for axes in ORIENTATIONS:
        path = write_volume(tmp_path / "x.nii.gz", array, spacing=(1, 1.2, 3), axes=axes)
        if suffix == ".mha":
            nifti, path = path, tmp_path / "x.mha"
            metaimage.write(path, array, read_image(nifti).affine)
        volume = read_image(path)
        found = predictor(trained((2.0, 2.0))).segment(volume, uncertainty=True)
        assert found.uncertainty is not None
        assert found.values.shape == found.uncertainty.shape == array.shape
        for folder in ("found", "truth"):
            write_label_like(tmp_path / folder / f"x{suffix}", found.values, volume)
        (case,) = evaluate_folders(tmp_path / "found", tmp_path / "truth", load_scheme("lumbar-vertebrae")).cases
        assert case.dice == 1


@pytest.mark.parametrize("fill", [0, 255, -1000])
def test_a_padded_image_gets_the_labels_that_it_gets_without(tmp_path: Path, write_volume: Writer, fill: int) -> None:
    """Also beside a member of the old rule, which is shown the padding; there the probabilities still add up to 1."""
    array = np.random.default_rng(0).normal(100, 30, (40, 36, 5)).astype(np.float32)
    margins = [(20, 9), (0, 17), (0, 0)]
    plain = read_image(write_volume(tmp_path / "x.nii.gz", array))
    padded = read_image(write_volume(tmp_path / "y.nii.gz", np.pad(array, margins, constant_values=fill)))
    new, old = trained((1.4, 1.4), border="inside"), trained((1.4, 1.4), border="all")
    expected = predict(new, plain)
    assert expected.any()
    np.testing.assert_array_equal(predict(new, padded), np.pad(expected, margins))
    together = probabilities(predictor(new, old), padded)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(predict(old, plain), expected, "without a border both rules are one")


def test_resampling_and_padding_are_undone(tmp_path: Path, write_volume: Writer) -> None:
    array = np.zeros((40, 60, 7), np.float32)
    array[10:30, 15:45, 1:6] = 100
    volume = read_image(write_volume(tmp_path / "x.nii.gz", array))
    network = trained((2.0, 2.0), size=(48, 48))
    values = predict(network, volume)
    assert values.shape == array.shape
    assert values.dtype == np.uint8
    assert isinstance(network.network, Threshold)
    assert {size[-2:] for size in network.network.sizes} == {(48, 48)}, "padded to the training size"
    truth = array > 0
    dice = 2 * (truth & (values > 0)).sum() / (truth.sum() + (values > 0).sum())
    assert dice > 0.9, "the threshold lies at the mean, so the edge moves by a part of a pixel"
    centres = [np.argwhere(mask).mean(0) for mask in (truth, values > 0)]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.1)


def test_neighbours_are_the_right_slices_and_batches_change_nothing(tmp_path: Path, write_volume: Writer) -> None:
    array = np.zeros((10, 10, 9), np.float32)
    array[:, 2:8, 3:7] = 100
    volume = read_image(write_volume(tmp_path / "x.nii.gz", array))
    network = trained((1.0, 1.0), context=1)
    values = predict(network, volume, batch_size=2)
    np.testing.assert_array_equal(values, predict(network, volume, batch_size=50))
    expected = np.where(array > 0, 2, 0)
    expected[:, 2:8, 4:6] = 3  # slices 3 and 6 have a dark neighbour
    np.testing.assert_array_equal(values, expected)


def test_jobs_keep_the_input_s_name(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.mha", "c.mhd", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    out = tmp_path / "out"
    names = [output.name for _, output in collect_jobs([tmp_path], out)]
    assert names == ["a.nii.gz", "b.mha", "c.mha"]


def test_a_dataset_means_its_test_cases(tiny_dataset: Path, tmp_path: Path) -> None:
    names = [source.name for source, _ in collect_jobs([tiny_dataset], tmp_path / "out")]
    assert names == ["Case5.nii.gz", "Case6.nii.gz"]


def test_jobs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(b"")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.nii.gz").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_bytes(b"")
    with pytest.raises(UsageError, match="would lie among what is there already"):
        collect_jobs([tmp_path / "x.nii.gz"], tmp_path)
    with pytest.raises(UsageError, match="would both be written to"):
        collect_jobs([tmp_path / "x.nii.gz", tmp_path / "other"], tmp_path / "out")
    for missing, message in (("none", "does not exist"), ("empty", "holds neither"), ("x.txt", "is not a volume")):
        with pytest.raises(DataError, match=message):
            collect_jobs([tmp_path / missing], tmp_path / "out")


def test_written_labels_open_in_nibabel(tmp_path: Path, write_volume: Writer) -> None:
    from spine_ignite.volumes.volume import write_label_like

    volume = read_image(write_volume(tmp_path / "x.nii.gz", np.random.default_rng(0).random((6, 7, 5)).astype("f4")))
    write_label_like(tmp_path / "y.nii.gz", predict(trained((1.0, 1.0)), volume), volume)
    written = nib.load(tmp_path / "y.nii.gz")
    np.testing.assert_allclose(written.affine, volume.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), read_label(tmp_path / "y.nii.gz").array)


@pytest.fixture
def noise(tmp_path: Path, write_volume: Writer) -> Volume:
    array = np.random.default_rng(0).normal(size=(20, 24, 5)).astype(np.float32)
    return read_image(write_volume(tmp_path / "noise.nii.gz", array))


def test_an_ensemble_is_the_mean_of_its_members_on_the_volume_s_own_pixels(noise: Volume) -> None:
    first = trained((1.0, 1.0), network=Linear(1))
    other = trained((1.7, 1.3), context=2, size=(32, 32), network=Linear(2))
    alone = [probabilities(predictor(network), noise) for network in (first, other)]
    both = probabilities(predictor(first, other), noise)
    assert both.shape == (5, CLASSES, 24, 20)
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-6)
    np.testing.assert_array_equal(probabilities(predictor(first, first), noise), alone[0])
    np.testing.assert_allclose(both.sum(1), 1, atol=1e-6)


def test_probabilities_are_the_softmax_of_resampled_logits(noise: Volume) -> None:
    network = trained((2.0, 2.0), network=Linear(1))
    slices, grid = prepare_image(noise, (2.0, 2.0), (0.0, 100.0))
    logits = torch.from_numpy(slices)[:, None] * Linear(1).slopes[:, None, None]
    expected = nn.functional.interpolate(logits, grid.native_size, mode="bilinear").softmax(1)
    np.testing.assert_allclose(probabilities(predictor(network), noise), expected.numpy(), atol=1e-6)


def test_members_of_other_classes_are_refused() -> None:
    with pytest.raises(RunError, match=r"has other classes \(scheme 'mrspineseg', 20\) than .* 'lumbar-vertebrae', 8"):
        predictor(trained((1.0, 1.0)), trained((1.0, 1.0), scheme="mrspineseg"))


def test_uncertainty_is_the_normalised_entropy(noise: Volume) -> None:
    of = predictor(trained((1.0, 1.0), network=Linear(1)))
    found = of.segment(noise, uncertainty=True).uncertainty
    assert found is not None
    expected = entropy(probabilities(of, noise).astype(np.float64), axis=1) / np.log(CLASSES)
    grid, _ = of.probabilities(noise)
    np.testing.assert_allclose(found, grid.to_volume(expected), atol=1e-5)
    certain, undecided = torch.eye(4)[:1, :, None, None], torch.full((1, 4, 1, 1), 0.25)
    assert normalised_entropy(certain).item() == 0
    assert normalised_entropy(undecided).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("axes", ["RAS", "PSR", "ILA"])
def test_the_probabilities_of_structures_lie_in_the_order_of_the_volume(axes: str) -> None:
    """Whatever the order of the axes, the rows are those of the voxels that are not background."""
    rng = np.random.default_rng(3)
    noise = Volume(rng.random((9, 7, 5)).astype(np.float32), affine_of(axes, (2.0, 2.0, 2.0)), Path("noise.nii.gz"))
    of = predictor(trained((2.0, 2.0), network=Linear(1)))
    grid, batches = of.probabilities(noise)
    planes = np.concatenate([batch.numpy().copy() for batch in batches])
    maps = np.stack([grid.to_volume(planes[:, index]) for index in range(CLASSES)], axis=-1)
    inside = maps.argmax(-1) > 0
    structures = Structures()
    for start in range(0, len(planes), 2):
        part = torch.from_numpy(planes[start : start + 2])
        structures.append(part, part.argmax(1).numpy().astype(np.uint8))
    found = structures.in_volume(grid, planes.argmax(1).astype(np.uint8))
    assert np.allclose(found, maps[inside], atol=1e-3)
