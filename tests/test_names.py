from __future__ import annotations

import csv
import html
import io
import json
import re
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from matplotlib.figure import Figure
from rich.console import Console

from spine_ignite import names
from spine_ignite.cli import options
from spine_ignite.csv_files import csv_text, read_csv

EVIL = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "' =1",
    "''=1",
    "\uff1d1",
    "[red]x[/red]",
    "[/]",
    ":boom:",
    "\x1b[31mred\x1b[0m",
    "\x9b31m",
    "\u202egnp.exe",
    "a\u200bb",
    "a\nb",
    "a\u2028b",
    "$\\frac{$",
    "$x$ and $y$",
    "_hidden",
    "\\",
    "a|b",
    "`code`",
    "<script>alert(1)</script>",
    "&lt;b&gt;",
    "</script>",
    "![x](https://example.org)",
    "https://example.org www.example.org",
    "a--b",
    "100 %_&#{}~^",
    "\udcff",
    "\0",
    "",
]
ANY = st.text() | st.sampled_from(EVIL) | st.lists(st.sampled_from(EVIL), max_size=3).map("".join)
PRINTABLE = ANY.filter(str.isprintable)


@given(ANY)
def test_a_terminal_gets_one_line_that_moves_and_hides_nothing(text: str) -> None:
    shown = names.printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    shown.encode("utf-8")


@settings(max_examples=30)
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=4))
def test_a_printed_table_shows_the_text_itself(rows: list[tuple[str, str]]) -> None:
    """rich's markup and names of emoji are not looked for."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.console.Console", lambda **_: Console(file=printed, width=10_000))
        options.print_table(rows[0][0], ["name", rows[0][1]], rows)
    lines = printed.getvalue().split("\n")
    for first, second in rows:
        words = names.printable(f"{first} {second}").split()
        assert any(line.split() == words for line in lines)


@given(rows=st.lists(st.tuples(ANY, ANY), max_size=4), heading=ANY)
def test_a_spreadsheet_computes_nothing_and_the_text_comes_back(
    rows: list[tuple[str, str]], heading: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "names.csv"
    path.write_text(csv_text([f"x{heading}", heading], rows), encoding="utf-8", newline="")
    with path.open(newline="") as file:
        for cells in csv.reader(file):
            for cell in cells:
                assert cell.isprintable()
                assert cell.lstrip("' ")[:1] not in tuple("=+-@\uff1d\uff0b\uff0d\uff20") or cell.startswith("'")
    assert [tuple(row.values()) for row in read_csv(path)] == [tuple(map(names.printable, row)) for row in rows]


@given(st.floats() | st.integers())
def test_numbers_stay_numbers(number: float) -> None:
    cell = csv_text(["x", "y"], [[number, 0]]).split("\n")[1].removesuffix(",0")
    assert cell == "" if number != number else type(number)(cell) == number


@settings(max_examples=20)
@given(ANY, st.sampled_from(EVIL))
def test_a_figure_draws_the_text_as_it_is(title: str, label: str) -> None:
    with warnings.catch_warnings(), matplotlib.rc_context(names.FIGURE_SETTINGS):
        warnings.filterwarnings("ignore", message=r"Glyph|Matplotlib currently")
        warnings.filterwarnings("error", message=r".*legend.*")
        figure = Figure(figsize=(2, 2), dpi=30)
        axes = figure.subplots()
        axes.plot([1, 2], label=names.in_figure(label) or "-")
        axes.set_title(names.in_figure(title))
        legend = axes.legend()
        figure.savefig(io.BytesIO(), format="png")
        assert len(legend.get_texts()) == 1
        assert not axes.title.get_parse_math()


UNTEX = {
    r"\textbackslash{}": "\\", r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
    r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<", r"\textgreater{}": ">",
    r"\textbar{}": "|", "''": '"', "{[}": "[", "{]}": "]", "{*}": "*", r"\textsuperscript{$-$}": "⁻",
    r"\textsuperscript{3}": "³", "-{}": "-",
}  # fmt: skip


@given(PRINTABLE.filter(lambda text: "'" not in text))
def test_latex_prints_the_text_as_it_is(text: str) -> None:
    escaped = names.in_latex(text)
    pattern = "|".join(map(re.escape, sorted(UNTEX, key=len, reverse=True)))
    assert re.sub(pattern, lambda found: UNTEX[found[0]], escaped) == text
    rest = re.sub(pattern, "", escaped)
    assert not set(rest) & set("\\&%$#_{}~^")
    assert "--" not in escaped


@given(ANY)
@example("://")
@example(":/[/")
def test_markdown_shows_the_text_as_it_is(text: str) -> None:
    escaped = names.in_markdown(text)
    assert "\n" not in escaped
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", " ", escaped)
    assert not set(bare) & set("\\`*_<>|[]#~$&")
    assert "://" not in bare
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped) == names.printable(text)


@given(ANY)
def test_a_block_of_code_ends_where_it_should(text: str) -> None:
    first, *_, last = (lines := names.code_block(text, "yaml").split("\n"))
    assert first == f"{last}yaml"
    assert set(last) == {"`"}
    assert not any(line.strip().startswith(last) for line in lines[1:-1])


@given(ANY)
def test_a_page_shows_the_text_as_it_is(text: str) -> None:
    environment = Environment(autoescape=True, finalize=names.in_page)
    page = environment.from_string("<p title='{{ x }}'>{{ x }}</p>").render(x=text)
    page.encode("utf-8")
    inner = page.removeprefix("<p title='").removesuffix("</p>")
    assert "<" not in inner.replace("'>", "")
    assert "'" not in inner.replace("'>", "", 1)
    assert html.unescape(inner.split("'>")[1]) == names.lines_printable(text)


@given(st.recursive(ANY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3)))
def test_json_is_read_back_and_does_nothing_to_a_terminal(value: object) -> None:
    document = names.in_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(document) == value
    assert all(line.isprintable() for line in document.split("\n"))
    document.encode("utf-8")


@given(st.recursive(ANY | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=30))
def test_a_value_in_a_message_is_short(value: object) -> None:
    assert len(names.brief(value)) <= 120
    assert names.brief(value).isprintable()


def test_a_value_of_any_depth_and_length_is_short() -> None:
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    for value in (deep, "x" * 10**7, 10**100_000, dict.fromkeys(range(10**5), deep), np.zeros(10**6)):
        assert len(names.brief(value)) <= 120


@pytest.mark.parametrize("room", ["report", "review"])
def test_pages_go_through_the_names(room: str) -> None:
    from spine_ignite.report.self_contained import templates

    environment = templates(f"spine_ignite.{room}")
    assert environment.finalize is names.in_page
    assert environment.autoescape is True


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (r"\bclick\.s?echo\(|\bconsole\.print\(|Console\(\)", {"cli/__init__.py", "cli/options.py"}),
        (r"\bcsv\.(writer|DictWriter)\(", {"csv_files.py"}),
        (r"\byaml\.(safe_)?load\(", {"plain_yaml.py", "tuning/batch_size.py"}),  # there it reads its own dump
        (r"\bfrom rich\.markup\b", set()),
    ],
)
def test_there_is_one_way_out_for_each_medium(call: str, where: set[str]) -> None:
    package = Path(names.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(call, path.read_text(encoding="utf-8"))
    }
    assert found <= where


@given(st.integers(0, 999), st.sampled_from(["case", "label volume"]))
def test_one_thing_is_not_called_many(number: int, noun: str) -> None:
    assert names.counted(number, noun) == (f"1 {noun}" if number == 1 else f"{number} {noun}s")
