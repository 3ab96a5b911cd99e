"""What volumes are called: as what was typed, and never as a folder that nobody typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.volumes.dicom.dicom_paths import split_key, stem, with_key


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *[(".", "dicom"), ("..", "dicom"), ("DICOMDIR", "dicom"), ("../DICOMDIR", "dicom"), ("s/..", "dicom")],
        *[("../exam/DICOMDIR", "exam"), ("../exam", "exam"), ("../exam.zip", "exam")],
    ],
)
def test_an_output_is_called_as_what_was_typed(
    typed: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "DOE_JANE" / "s").mkdir(parents=True)
    (tmp_path / "exam").symlink_to(tmp_path / "DOE_JANE")
    monkeypatch.chdir(tmp_path / "DOE_JANE")
    assert stem(Path(typed)) == name
    for key, said in (("4", f"{name}-series-4"), ("study-2", f"{name}-study-2")):
        path = with_key(Path(typed), key)
        assert split_key(path) == (Path(typed), key)
        assert stem(path) == said
