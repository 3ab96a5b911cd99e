from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.errors import UsageError
from spine_ignite.places import require_apart, require_file_apart


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("home/work/data/train", "home/other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home" / "work" / "linked").symlink_to("data")
    monkeypatch.chdir(tmp_path / "home" / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "work"


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (".", "the working folder"),
        ("..", "the working folder"),
        ("data/..", "the working folder"),
        ("../..", "the working folder"),
        ("/", "the working folder"),
        ("data", "is or holds the data, data.root data"),
        ("./data/train/..", "is or holds the data"),
        ("data/new/run", "lies in the data"),
        ("linked/new", "lies in the data"),
        ("other/../data/new", "lies in the data"),
    ],
)
def test_output_that_would_endanger_something_is_refused(work: Path, out: str, why: str) -> None:
    for place in (Path(out), work / out):
        with pytest.raises(UsageError, match=f"--out .*{why}"):
            require_apart({"--out": place}, {"data.root": Path("data")})


def test_the_home_folder_is_refused_from_wherever_one_works(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(UsageError, match="your home folder"):
        require_apart({"--out": work.parent})


@pytest.mark.parametrize("out", ["runs/unet", "../other", "dat", "data2/x", "data.new"])
def test_output_beside_the_data_is_fine(work: Path, out: str) -> None:
    (work / "data2").mkdir()
    require_apart({"--out": Path(out)}, {"data.root": Path("data")})
    require_file_apart("--out", Path(out), {"data.root": Path("data")})


def test_one_folder_in_the_data_may_be_reserved(work: Path) -> None:
    inside = Path("data/.cache")
    require_apart({"cache": inside / "a"}, {"data.root": Path("data")}, inside)
    with pytest.raises(UsageError, match="cache data/.cached lies in the data"):
        require_apart({"cache": Path("data/.cached")}, {"data.root": Path("data")}, inside)


def test_outputs_do_not_lie_in_each_other(work: Path) -> None:
    for one, other in (("a", "a/b"), ("a/b", "a"), ("a", "data/../a")):
        with pytest.raises(UsageError, match="lie in each other; choose two folders"):
            require_apart({"--out": Path(one), "data.cache": Path(other)})
    require_apart({"--out": Path("a"), "data.cache": Path("ab")})


def test_a_file_is_not_written_into_the_data(work: Path) -> None:
    with pytest.raises(UsageError, match=r"--out linked/train/Case1.nii.gz lies in the data, data.root data"):
        require_file_apart("--out", Path("linked/train/Case1.nii.gz"), {"data.root": Path("data")})
