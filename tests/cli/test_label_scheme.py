"""Which scheme label volumes are read in: never one that nobody named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite import cli
from spine_ignite.cli.label_scheme import scheme_of
from spine_ignite.labels import load_scheme
from spine_ignite.volumes.label_description import COMMENT, as_comment

Writer = Callable[..., Path]


@pytest.fixture
def labels(tmp_path: Path, write_volume: Writer) -> Path:
    """A volume of the value 2, which is L6 in spine and L5 in mrspineseg."""
    return write_volume(tmp_path / "labels" / "scan.nii.gz", np.full((9, 9, 5), 2, np.uint8))


def carrying_one(labels: Path, name: str, scheme: str) -> Path:
    image = nib.load(labels)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT, as_comment(load_scheme(scheme)).encode()))
    nib.save(image, labels.with_name(name))
    return labels.with_name(name)


def test_what_a_volume_carries_is_its_scheme_unless_another_is_named(labels: Path) -> None:
    carrying = carrying_one(labels, "carrying.nii.gz", "spine")
    assert scheme_of(None, carrying).classes == load_scheme("spine").classes
    assert scheme_of("mrspineseg", carrying).classes == load_scheme("mrspineseg").classes


@pytest.mark.parametrize("words", [["measure"], ["levels"], ["review", "-o", "OUT"]])
def test_no_command_guesses_it(
    words: list[str], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "review.html"
    command, *rest = (str(out) if word == "OUT" else word for word in words)
    assert cli.run([command, str(labels.parent), *rest]) == 2
    assert "scan.nii.gz does not say what its values mean; name its label scheme with --scheme" in (
        capsys.readouterr().err
    )
    assert not out.exists()
    assert sorted(labels.parent.iterdir()) == [labels]


@pytest.mark.parametrize("words", [["measure"], ["levels"], ["review", "-o", "OUT"]])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("mrspineseg", "b.nii.gz carries another label scheme ('mrspineseg') than"),
        (None, "b.nii.gz does not say in which scheme its values are, as"),
    ],
)
def test_one_scheme_is_not_taken_for_that_of_all(
    words: list[str], other: str | None, said: str, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carrying_one(labels, "a.nii.gz", "spine")
    second = labels.rename(labels.with_name("b.nii.gz"))
    if other is not None:
        carrying_one(second, "b.nii.gz", other)
    command, *rest = (str(tmp_path / "review.html") if word == "OUT" else word for word in words)
    assert cli.run([command, str(second.parent), *rest]) == 2
    assert said in capsys.readouterr().err
    assert {path.name for path in second.parent.iterdir()} == {"a.nii.gz", "b.nii.gz"}
    assert not (tmp_path / "review.html").exists()


def test_a_volume_that_cannot_be_read_does_not_stop_those_of_one_scheme(labels: Path) -> None:
    one = carrying_one(labels, "a.nii.gz", "spine")
    same, cut = carrying_one(labels, "b.nii.gz", "spine"), labels.with_name("cut.nii.gz")
    cut.write_bytes(one.read_bytes()[:40])
    assert scheme_of(None, one, same, cut) == load_scheme("spine")
