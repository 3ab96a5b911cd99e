"""A folder that is replaced as a whole, by processes that die at any of their renames too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite.datasets.convert.whole_folder import read_record, replaced_whole, write_record
from spine_ignite.errors import DataError, RunError


def fill(folder: Path, text: str) -> None:
    with replaced_whole(folder) as new:
        for name in ("a.json", "train/label/b.csv"):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text)
        write_record(new, {"format": 1})


def fail(folder: Path) -> None:
    with replaced_whole(folder) as new:
        (new / "a.json").write_text("two")
        raise ZeroDivisionError


def content(folder: Path) -> list[str]:
    return sorted({(folder / name).read_text() for name in ("a.json", "train/label/b.csv")})


def test_it_is_new_or_replaced_and_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for text in ("one", "two"):
        fill(folder, text)
        assert content(folder) == [text]
        assert sorted(read_record(folder)["files"]) == ["a.json", "train/label/b.csv"]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_leaves_the_former_or_the_new_one(
    tmp_path: Path, die_at_rename: Callable[[int, bool, Callable[[], None]], None], number: int, after: bool
) -> None:
    folder = tmp_path / "out"
    fill(folder, "one")
    die_at_rename(number, after, lambda: fill(folder, "two"))
    if folder.exists():
        assert content(folder) in (["one"], ["two"])
    fill(folder, "three")
    assert content(folder) == ["three"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    fill(folder, "one")
    for place in (folder, tmp_path / "other"):
        with pytest.raises(ZeroDivisionError):
            fail(place)
    assert content(folder) == ["one"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda folder: (folder / "a.json").write_text("mine"), "a.json was changed since; choose another folder"),
        (lambda folder: (folder / "train/mine.txt").touch(), "mine.txt, which convert did not make; choose another"),
        (lambda folder: (folder / "link").symlink_to(folder), "link, which convert did not make"),
    ],
)
def test_what_somebody_has_put_or_changed_there_stays(
    tmp_path: Path, act: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "out"
    fill(folder, "one")
    act(folder)
    with pytest.raises(RunError, match=message):
        fill(folder, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_damaged_record_or_a_link_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    fill(folder, "one")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(RunError, match="link is a link; choose another folder"):
        fill(tmp_path / "link", "two")
    (folder / "conversion.json").write_text("{}")
    with pytest.raises(DataError, match="conversion.json cannot be read"):
        fill(folder, "two")
