from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.errors import RunError
from spine_ignite.files import write_text
from spine_ignite.ownership import Listed, is_ours, own_folder, remove_listed, require_ours

CONTENTS = (Listed("", r"table\.csv"), Listed("sub/(a|b)", r".+\.npy"))
FOLDERS = ("", "sub", "sub/a", "sub/b", "sub/c", "other", "sub/a/deep")
NAMES = ("table.csv", "x.npy", "notes.txt", ".part-x", ".lock2", "Table.csv", "x.npy.bak")
PATHS = sorted(f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in NAMES)
OURS = {"table.csv", "sub/a/x.npy", "sub/b/x.npy"}


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@given(before=st.sets(st.sampled_from(PATHS)), after=st.sets(st.sampled_from(PATHS)))
@settings(max_examples=150)
def test_nothing_but_what_is_listed_is_ever_deleted(before: set[str], after: set[str]) -> None:
    """Files of others lie there before, or come later: the folder is refused, or they stay byte for byte."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "folder"
        root.mkdir()
        for name in before:
            write_text(root / name, f"before {name}")
        kept = content(root)
        try:
            with own_folder(root, "run", "works in it"):
                for name in OURS:
                    write_text(root / name, "ours")
        except RunError:
            assert before
            assert content(root) == kept
            with pytest.raises(RunError, match="nothing in it is deleted"):
                remove_listed(root, "run", CONTENTS)
            assert content(root) == kept
            return
        assert not before
        for name in after - OURS:
            write_text(root / name, f"after {name}")
        stays = remove_listed(root, "run", CONTENTS)
        left = content(root)
        assert left.pop(".spine-ignite")
        assert left == {name: f"after {name}".encode() for name in after if name in left}
        assert set(left) == after - OURS - {"sub/b/x.npy"}
        assert all(any(root / name == path or path in (root / name).parents for path in stays) for name in left)
        with own_folder(root, "run", "works in it"):
            pass


def test_a_mark_is_for_one_kind_and_a_damaged_one_for_none(tmp_path: Path) -> None:
    with own_folder(tmp_path / "x", "store", "works in it"):
        pass
    assert is_ours(tmp_path / "x", "store")
    with pytest.raises(RunError, match="holds a slice store of spine-ignite; choose another folder"):
        require_ours(tmp_path / "x", "run")
    (tmp_path / "x" / "file").touch()
    for text in ("", "{}", '{"kind": "store"}', '{"kind": "store", "format": 99}', "[" * 5000):
        (tmp_path / "x" / ".spine-ignite").write_text(text)
        with pytest.raises(RunError, match="holds files that spine-ignite did not make as a slice store, file for one"):
            require_ours(tmp_path / "x", "store")
    (tmp_path / "mark").write_text('{"kind": "store", "format": 1}')
    (tmp_path / "x" / ".spine-ignite").unlink()
    (tmp_path / "x" / ".spine-ignite").symlink_to(tmp_path / "mark")
    assert not is_ours(tmp_path / "x", "store"), "a link is no mark"


def test_output_beside_files_of_others_takes_none_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with own_folder(tmp_path, "comparison", "writes it", CONTENTS):
        write_text(tmp_path / "table.csv", "ours")
    with own_folder(tmp_path, "comparison", "writes it", CONTENTS):
        assert remove_listed(tmp_path, "comparison", CONTENTS) == [tmp_path / "thesis.tex"]
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "table.csv").write_text("mine")
    with pytest.raises(RunError, match=r"did not make as a comparison, .*table\.csv for one"):
        require_ours(tmp_path / "paper", "comparison", CONTENTS)


def test_a_file_or_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(RunError, match="is not a folder; choose another one"):
            require_ours(tmp_path / name, "run")
