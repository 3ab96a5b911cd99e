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


def test_what_a_volume_carries_is_its_scheme_unless_another_is_named(labels: Path) -> None:
    image = nib.load(labels)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT, as_comment(load_scheme("spine")).encode()))
    carrying = labels.with_name("carrying.nii.gz")
    nib.save(image, carrying)
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
