from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from spine_ignite import open_dataset
from spine_ignite.config import load_config
from spine_ignite.errors import DataError, UsageError
from spine_ignite.slices.build import build_store


def test_slices_are_what_a_network_sees(tiny_dataset: Path) -> None:
    dataset = open_dataset(str(tiny_dataset), scheme="lumbar-vertebrae", context_slices=1)
    store = build_store(load_config({"data": {"root": tiny_dataset, "scheme": "lumbar-vertebrae"}}).data).store
    assert len(dataset) == 4 * 5
    assert dataset.names == ("Case1", "Case2", "Case3", "Case4")
    assert dataset.classes[:3] == ("background", "L5", "L4")
    case = store.split("train")[1]
    sample = dataset[7]
    assert sample.name == case.name
    assert sample.image.dtype is torch.float32
    assert np.array_equal(sample.image.numpy(), store.image(case)[1:4].astype(np.float32))
    assert np.array_equal(sample.label.numpy(), store.label(case)[2])
    assert torch.equal(dataset[-1].image, dataset[19].image)
    assert sum(1 for _ in dataset) == 20
    with pytest.raises(IndexError):
        dataset[20]


@pytest.mark.parametrize("size", [(60, 60), (30, 41)])
def test_the_affine_of_a_slice_says_where_its_pixels_are(tiny_dataset: Path, size: tuple[int, int]) -> None:
    dataset = open_dataset(tiny_dataset, scheme="lumbar-vertebrae", size=size)
    volume = open_dataset(tiny_dataset, "volumes", scheme="lumbar-vertebrae")[2]
    to_voxel = np.linalg.inv(volume.affine.numpy())
    counted = 0
    for index in range(10, 15):
        sample = dataset[index]
        assert sample.name == volume.name == "Case3"
        assert sample.label.shape == size
        rows, columns = np.nonzero(sample.label.numpy())
        points = np.stack([rows, columns, 0 * rows, 0 * rows + 1])
        i, j, k = np.rint(to_voxel @ sample.affine.numpy() @ points).astype(int)[:3]
        assert np.array_equal(volume.label.numpy()[i, j, k], sample.label.numpy()[rows, columns])
        counted += len(rows)
    assert counted > 100


def test_the_affine_of_a_resampled_slice_has_its_extent(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset, scheme="lumbar-vertebrae", spacing=(2, 2))
    native = open_dataset(tiny_dataset, scheme="lumbar-vertebrae")
    for coarse, fine in zip(dataset, native, strict=True):
        assert coarse.spacing.tolist() == [2, 2]
        rows, columns = fine.label.shape
        edges = np.array([[-0.5, -0.5, 0, 1], [rows - 0.5, columns - 0.5, 0, 1]]).T
        halved = np.array([[-0.5, -0.5, 0, 1], [rows / 2 - 0.5, columns / 2 - 0.5, 0, 1]]).T
        assert np.allclose(coarse.affine.numpy() @ halved, fine.affine.numpy() @ edges)


def test_volumes_are_as_in_their_files(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset, "volumes", split="test", scheme="lumbar-vertebrae")
    image = nib.load(tiny_dataset / "test" / "source" / "Case6.nii.gz")
    sample = dataset[1]
    assert sample.name == "Case6"
    assert np.array_equal(sample.image.numpy(), image.get_fdata(dtype=np.float32))
    assert np.array_equal(sample.affine.numpy(), image.affine)
    assert sample.spacing.tolist() == pytest.approx([1, 1, 4])
    mask = nib.load(tiny_dataset / "test" / "label" / "mask_case6.nii.gz")
    assert np.array_equal(sample.label.numpy() > 0, mask.get_fdata() > 0)


def test_torchs_loader_reads_it_with_workers(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset, scheme="lumbar-vertebrae")
    batches = list(DataLoader(dataset, batch_size=8, num_workers=2))
    assert [len(batch.image) for batch in batches] == [8, 8, 4]
    assert torch.equal(batches[1].image[0], dataset[8].image)
    assert batches[1].name[0] == "Case2"
    volumes = open_dataset(tiny_dataset, "volumes", scheme="lumbar-vertebrae")
    assert [sample.image.shape for sample in DataLoader(volumes, batch_size=None, num_workers=1)] == [(48, 64, 5)] * 4


def test_what_does_not_exist_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no kind 'slice'. Did you mean 'slices'\?"):
        open_dataset(tiny_dataset, "slice")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no split 'validation'"):
        open_dataset(tiny_dataset, split="validation")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="data.spacng"):
        open_dataset(tiny_dataset, spacng=(1, 1))
    with pytest.raises(DataError):
        open_dataset(tmp_path / "no")
    for mask in (tiny_dataset / "test" / "label").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match="has no case for 'test' that has a mask"):
        open_dataset(tiny_dataset, "volumes", split="test", scheme="lumbar-vertebrae")


def test_volumes_of_several_contrasts_lie_on_one_grid(two_contrasts: Path) -> None:
    found = open_dataset(two_contrasts, "volumes", scheme="lumbar-vertebrae", contrasts=("t1", "t2"))
    samples = {sample.name: sample for sample in (found[n] for n in range(len(found)))}
    assert samples["Case1"].image.shape == (2, *samples["Case1"].label.shape) == (2, 48, 64, 5)
    bright = [
        float(samples["Case1"].image[n][samples["Case1"].label == found.classes.index("L4")].mean()) for n in (0, 1)
    ]
    assert bright[0] == pytest.approx(30, abs=3)
    assert bright[1] == pytest.approx(190, abs=15), "the borders of a coarser image are blurred"
    assert not samples["Case2"].image[1].any()
    assert not samples["Case3"].image[0].any()
    slices = open_dataset(two_contrasts, "slices", scheme="lumbar-vertebrae", contrasts=("t1", "t2"))
    assert slices[0].image.shape[0] == 2
