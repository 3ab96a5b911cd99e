from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.config import load_config
from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.plain_yaml import YamlError, parse_yaml

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@given(PLAIN)
def test_plain_data_is_read_as_it_was_written(value: Any) -> None:
    assert parse_yaml(yaml.safe_dump(value)) == value


@given(st.text())
def test_any_text_is_read_as_by_the_safe_loader_or_refused_in_one_short_line(text: str) -> None:
    try:
        value = parse_yaml(text)
    except YamlError as error:
        message = str(error)
        assert "\n" not in message
        assert len(message) <= 300
    else:
        assert repr(value) == repr(yaml.safe_load(text))


def test_anchors_aliases_and_merges_of_a_person_are_taken() -> None:
    text = "p: {q: &a {<<: &b {x: 1, y: 2}, y: 3}}\nr: {<<: *a, z: [*b, *b]}\n"
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "it has more than 10,000 values"),
        ("a: &a [1]\nb: {<<: &m {x: *a}, y: " + "[" * 60 + "]" * 60 + "}", "it has more than 40 levels of nesting"),
        ("[" * 10**5, "it has more than 40 levels of nesting"),
        ("- 1\n" * 20000, "it has more than 10,000 values"),
        ("a: &x {b: *x}", "what '&x' names holds itself"),
        ("train: {epochs: 1, epochs: 2}", "the key 'epochs' is given twice"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: *" + "x" * 10**5, "undefined alias"),
        ("a: 2020-99-99", "must be in"),
    ],
    ids=lambda text: text[:12],
)
def test_what_no_person_would_write_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(YamlError, match=message):
        parse_yaml(text)
    path = tmp_path / "received.yaml"
    path.write_text(text)
    for read in (load_config, load_scheme):
        with pytest.raises(UsageError, match=r"received\.yaml cannot be read: .*" + message) as caught:
            read(path)
        assert len(str(caught.value)) < 800 + len(str(path))


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UsageError, match="it is larger than 1 MiB"):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "train: {epochs: [" + ", ".join(["'" + "y" * 1000 + "'"] * 900) + "]}",
        "data: {size: [" + ", ".join(["a"] * 9000) + "]}",
        "\n".join(f"key{n}: 1" for n in range(5000)),
        "x" * 10**5 + ": 1",
        "train: {epochs: 1" + "0" * 4000 + "}",
        "train: {" + "z" * 10**5 + ": 1}",
    ],
    ids=lambda text: text[:12],
)
def test_messages_about_values_do_not_grow_with_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "received.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert len(str(caught.value)) < 1200 + len(str(path))
