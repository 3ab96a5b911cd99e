"""Tables for a paper in LaTeX, with booktabs."""

from __future__ import annotations

from spine_ignite.compare.grids import Cell, Grid
from spine_ignite.names import in_latex

_ARROWS = {1: r" $\uparrow$", -1: r" $\downarrow$", 0: ""}


def latex_table(grid: Grid) -> str:
    r"""Return a ``tabular`` to ``\input`` into a table: the best bold, the second underlined.

    Intervals stand below their figures. Many or long headings are turned upright, which needs ``graphicx``.
    """
    upright = sum(map(len, grid.headings)) > 110
    headings = [in_latex(text) + _ARROWS[better] for text, better in zip(grid.headings, grid.better, strict=True)]
    if upright:
        headings = [rf"\rotatebox{{90}}{{{heading}}}" for heading in headings]
    packages = r"\usepackage{booktabs}" + (r" and \usepackage{graphicx}" if upright else "")
    lines = [
        f"% needs {packages}; best bold, second underlined, 95 % intervals in brackets",
        rf"\begin{{tabular}}{{l{'r' * len(headings)}}}",
        r"\toprule",
        " & ".join([in_latex(grid.corner.capitalize()), *headings]) + r" \\",
        r"\midrule",
    ]
    for number, (name, row) in enumerate(zip(grid.names, grid.rows, strict=True)):
        if name == "mean" and number == len(grid.rows) - 1:
            lines.append(r"\midrule")
        lines.append(" & ".join([in_latex(name), *map(_cell, row)]) + r" \\")
        if any(cell.interval for cell in row):
            limits = [rf"{{\scriptsize {cell.interval}}}" if cell.interval else "" for cell in row]
            lines.append(" & ".join(["", *limits]) + r" \\[2pt]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(cell: Cell) -> str:
    text = "--" if cell.text == "-" else cell.text.replace("-", "$-$")
    return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.place, text)
