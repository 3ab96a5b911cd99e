"""The chain of a manifest, against hashlib alone: whatever is changed in it is seen, by itself or by its head."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.runs.manifest import NOTHING, Chain, append_entry, head_of, read_chain

CODE = {"spine-ignite": "0.1.0"}


def written(root: Path, names: list[str]) -> list[str]:
    """A manifest with an entry for each name, of a file that is called so; the heads that were returned."""
    root.mkdir(parents=True, exist_ok=True)
    heads = []
    for name in names:
        (root / name).write_text(f"content of {name}")
        heads.append(append_entry(root, "prediction", code=CODE, files=[root / name]))
    return heads


def chain_of(root: Path) -> Chain:
    chain = read_chain(root)
    assert chain is not None
    return chain


def lines(root: Path) -> list[bytes]:
    return (root / "manifest.jsonl").read_bytes().splitlines()


def test_each_line_holds_the_sha256_of_the_one_before_and_the_head_is_that_of_the_last(tmp_path: Path) -> None:
    heads = written(tmp_path, ["a", "b", "c"])
    former = NOTHING
    for line, head in zip(lines(tmp_path), heads, strict=True):
        assert json.loads(line)["former"] == former
        former = hashlib.sha256(line).hexdigest()
        assert former == head
    chain = chain_of(tmp_path)
    assert (chain.head, chain.problems) == (former, ())
    assert chain.files["b"] == (hashlib.sha256(b"content of b").hexdigest(), 1)
    assert head_of(tmp_path) == former
    assert read_chain(tmp_path / "elsewhere") is None


def test_what_the_last_entry_says_is_not_said_twice(tmp_path: Path) -> None:
    heads = written(tmp_path, ["a", "a"])
    assert heads[0] == heads[1]
    (tmp_path / "a").write_text("another")
    assert append_entry(tmp_path, "prediction", code=CODE, files=[tmp_path / "a"]) != heads[0]
    assert len(lines(tmp_path)) == 2


@settings(max_examples=60)
@given(count=st.integers(2, 6), data=st.data())
def test_any_change_of_a_line_but_the_last_breaks_the_chain(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("chain")
    written(root, [f"f{n}" for n in range(count)])
    former = lines(root)
    act = data.draw(st.sampled_from(["change", "remove", "swap", "repeat"]))
    place = data.draw(st.integers(0, count - 2))
    changed = list(former)
    if act == "change":
        entry = json.loads(former[place])
        entry["files"][f"f{place}"] = data.draw(st.integers(0, 2**256 - 1).map(lambda n: f"{n:064x}"))
        changed[place] = json.dumps(entry).encode()
    elif act == "remove":
        del changed[place]
    elif act == "swap":
        changed[place : place + 2] = changed[place + 1], changed[place]
    else:
        changed.insert(place, changed[place])
    (root / "manifest.jsonl").write_bytes(b"\n".join(changed) + b"\n")
    problems = chain_of(root).problems
    assert bool(problems) == (changed != former)
    assert all("a line was changed, removed or added" in problem for problem in problems)


@settings(max_examples=60)
@given(count=st.integers(1, 6), data=st.data())
def test_a_chain_that_is_rewritten_whole_has_another_head(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("forged")
    head = written(root, [f"f{n}" for n in range(count)])[-1]
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines(root)]
    place = data.draw(st.integers(0, count - 1))
    entries[place]["code"]["spine-ignite"] = data.draw(st.text(max_size=8).filter(lambda text: text != "0.1.0"))
    rewritten, former = [], NOTHING
    for entry in entries:
        line = json.dumps({**entry, "former": former}).encode()
        rewritten.append(line)
        former = hashlib.sha256(line).hexdigest()
    (root / "manifest.jsonl").write_bytes(b"\n".join(rewritten) + b"\n")
    chain = chain_of(root)
    assert chain.problems == ()
    assert chain.upto(head) is None
    assert chain.upto(former) == chain


def test_an_earlier_head_stands_for_the_chain_as_it_was(tmp_path: Path) -> None:
    heads = written(tmp_path, ["a", "b", "c"])
    chain = chain_of(tmp_path)
    early = chain.upto(heads[1][:12].upper())
    assert early is not None
    assert early.head == heads[1]
    assert "c" not in early.files
    assert chain.upto(heads[1][:11]) is None  # too short to be believed


def test_damage_is_told_by_line_and_appending_goes_on(tmp_path: Path) -> None:
    written(tmp_path, ["a", "b"])
    path = tmp_path / "manifest.jsonl"
    first, second = lines(tmp_path)
    escaping = json.dumps({**json.loads(second), "files": {"../a": "0" * 64}}).encode()
    path.write_bytes(first + b"\n{not json\n" + escaping)
    append_entry(tmp_path, "prediction", code=CODE)
    chain = chain_of(tmp_path)
    assert len(chain.entries) == 2
    assert [problem.split(", is")[0] for problem in chain.problems] == [f"{path}, line 2", f"{path}, line 3"]
    assert "does not lie in the folder" in chain.problems[1]
