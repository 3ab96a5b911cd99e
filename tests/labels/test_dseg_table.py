from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.labels.dseg_table import dseg_table


@pytest.mark.parametrize("name", ["mrspineseg", "spine", "totalspineseg"])
def test_values_names_and_kinds_come_back(tmp_path: Path, name: str) -> None:
    scheme = load_scheme(name)
    (tmp_path / "dseg.tsv").write_text(dseg_table(scheme), encoding="utf-8")
    found = {c.value: (c.name, c.kind) for c in load_scheme(tmp_path / "dseg.tsv").classes}
    assert found == {c.value: (c.name, c.kind) for c in scheme.classes}


def test_a_table_of_another_tool(tmp_path: Path) -> None:
    """Without a background, with columns of its own, and a value to be ignored."""
    path = tmp_path / "dseg.tsv"
    path.write_text("index\tname\tabbreviation\n20\tvertebra L5\tL5\n7\tdisc L5-S1\tD\n9\tignore\tn/a\n")
    scheme = load_scheme(path)
    assert [(c.value, c.kind) for c in scheme.classes] == [(0, "background"), (20, "vertebra"), (7, "disc")]
    assert scheme.ignore == (9,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index\tname\nx\tL5\n", "is not a dseg.tsv of BIDS: a row has the index 'x', name 'L5'"),
        ("value\tname\n1\tL5\n", "is not a dseg.tsv of BIDS: a row has the index None, name 'L5'"),
        ("index\tname\n", "it names no structure"),
        ("index\tname\n1\tL5\n2\tL5\n", "gives the name 'L5' to two values"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dseg.tsv").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_scheme(tmp_path / "dseg.tsv")
