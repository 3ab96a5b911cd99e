"""Columns of phantoms that a network has not seen: named right, accepted or asked about, right after one click.

Each phantom is drawn, predicted and named once, and gets a row in a CSV file; what has one is not done again, so that
it can be stopped and started. Then the calibration is made on one half of the phantoms and judges the other, and the
other way round.

    python benchmarks/certificates.py ready --phantoms 500 --out benchmarks/results/certificates.csv
    python benchmarks/certificates.py ready --share 1/2 --out benchmarks/results/certificates.csv       # beside 0/2
    python benchmarks/certificates.py ready --phantoms 0 --out benchmarks/results/certificates.csv      # what is there
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.evaluation.column_right import ColumnJudgement, judge_column
from spine_ignite.evaluation.known_voxels import count_pairs
from spine_ignite.inference.levels.calibration import JudgedColumn, Support
from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.hypotheses import Given, weigh
from spine_ignite.inference.levels.naming import infer
from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.inference.levels.renaming import rename
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.labels import LabelScheme
from spine_ignite.phantom import VARIED, Exam, make_phantom
from spine_ignite.volumes.volume import Volume

Indices = NDArray[np.uint8]
# What names are held against, the column of the CSV file that says whether all are right, and whether after a click.
TRUTHS = (("by the person's levels", "right", "click"), ("counted from twelve thoracic", "counted", "click_counted"))
SEED = 20_264  # of no other phantoms: the network `ready` learnt from seeds 1, 2 and 4
_ANCHOR = 0.5  # of the median vertebra: what is seen of the sacrum, or of the lowest thoracic vertebra, that counts
FIELDS = (
    "number",
    "posterior",
    "right",
    "counted",
    "missed",
    "wrong",
    "sacrum",
    "rib",
    "variant",
    "vertebrae",
    "click",
    "click_counted",
    "seconds",
    "asks",
    "reasons",
)


def main() -> None:
    """Make rows that are missing, and say what they show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a network that has not seen these phantoms")
    parser.add_argument("--phantoms", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--share", default="0/1", help="of the phantoms, I/N: as many processes may write to one file")
    parser.add_argument("--risks", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    parser.add_argument("--out", type=Path, required=True, help="CSV file with a row for each")
    options = parser.parse_args()
    done = {int(row["number"]) for row in read(options.out)}
    first, step = (int(word) for word in options.share.split("/"))
    wanted = [number for number in range(first, options.phantoms, step) if number not in done]
    if wanted:
        collect(options, wanted)
    rows = read(options.out)
    kinds = {"sacrum in view": [r for r in rows if r["sacrum"] == "1"]}
    kinds["lowest thoracic vertebra alone"] = [r for r in rows if r["sacrum"] == "0" and r["rib"] == "1"]
    kinds["neither"] = [r for r in rows if r["sacrum"] == r["rib"] == "0"]
    for name, chosen in kinds.items():
        show_kind(name, chosen)
    show_kind("all", rows)
    for risk in options.risks:
        for truth in TRUTHS:
            show_risk(rows, risk, truth)


def show_kind(name: str, rows: list[dict[str, str]]) -> None:
    """Say how columns are named that have an anchor in view, or none."""
    unasked = [row for row in rows if row["asks"] == "0"]
    asked = [row for row in rows if row["asks"] == "1"]
    print(f"{name}: {len(rows)} columns, {len(asked)} with a reason to ask")
    for title, right, click in TRUTHS:
        print(
            f"  {title}: {sum(row[right] == '1' for row in rows)} right, "
            f"{sum(row[right] != '1' for row in unasked)} of {len(unasked)} without a reason to ask wrong, "
            f"{sum(row[click] == '1' for row in asked)} of {len(asked)} asked ones right after one click, "
            f"{sum(row[click] == '1' for row in rows)} of all"
        )
    wrong = Counter(row["variant"] for row in unasked if row["right"] != "1")
    every = Counter(row["variant"] for row in unasked)
    for variant, count in sorted(every.items()):
        print(f"  {variant} without a reason to ask: {count}, {wrong[variant]} wrong")


def show_risk(rows: list[dict[str, str]], risk: float, truth: tuple[str, str, str]) -> None:
    """Calibrate on each half and judge the other."""
    title, right, click = truth
    accepted: list[dict[str, str]] = []
    for half in (0, 1):
        support = support_of([row for row in rows if int(row["number"]) % 2 == half], right)
        threshold = support.threshold(risk)
        least = support.smallest_risk
        print(
            f"risk {risk:g}, {title}, half {half}: {len(support.patients)} patients without a reason to ask, "
            f"{sum(not right for _, right in support.patients)} wrong; "
            + (
                f"accepted from {threshold.posterior:g} on, bound {threshold.bound:.4f}"
                if threshold
                else "nothing accepted"
            )
            + f"; smallest risk {least}"
        )
        if threshold is not None:
            others = [row for row in rows if int(row["number"]) % 2 != half]
            accepted += [row for row in others if row["asks"] == "0" and score(row) >= threshold.posterior]
    wrong = sum(row[right] != "1" for row in accepted)
    passed = {row["number"] for row in accepted}
    asked = [row for row in rows if row["number"] not in passed]
    clicked = sum(row[click] == "1" for row in asked)
    print(
        f"  on the other halves: {len(accepted)} accepted, {wrong} wrong; after a click {clicked} of {len(asked)} right"
    )
    for name, key in (("sacrum", "sacrum"), ("rib", "rib")):
        seen = [row for row in rows if row[key] == "1"]
        print(f"  asked with {name} in view: {sum(row['number'] not in passed for row in seen)} of {len(seen)}")


def support_of(rows: list[dict[str, str]], right: str) -> Support:
    """Return what columns support; each phantom is a patient."""
    return Support(
        tuple(
            JudgedColumn(score(row), row[right] == "1", int(row["number"]), True, row["asks"] == "1")
            for row in rows
            if row[right]
        )
    )


def score(row: dict[str, str]) -> float:
    """Return a posterior as it is compared with thresholds."""
    return round(float(row["posterior"]), 4)


def collect(options: argparse.Namespace, numbers: list[int]) -> None:
    """Append a row for each phantom."""
    predictor = load_predictor(options.run, InferenceOptions(postprocess=("levels",), device="cpu"))
    started = time.monotonic()
    is_new = not options.out.exists()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if is_new:
            writer.writeheader()
        for number in numbers:
            writer.writerow(observe(predictor, number))
            file.flush()
            if time.monotonic() - started > 60 * options.minutes:
                break


def observe(predictor: Predictor, number: int) -> dict[str, Any]:
    """Draw, predict and name one phantom."""
    started = time.process_time()
    phantom = make_phantom(SEED, 0, number, None, VARIED)
    spine = Exam(SEED, 0, number, None, VARIED).spine
    names = [vertebra.name for vertebra in spine.vertebrae]
    truth = predictor.scheme.to_indices(phantom.label)
    column = predictor.segment(Volume(phantom.image.astype(np.float32), phantom.affine, Path(f"{number}"))).column
    assert column is not None
    judged, told = judge(column.indices, truth, predictor.scheme), reasons(column)
    as_counted = as_if_twelve(truth, names, predictor.scheme)
    counted = judge(column.indices, as_counted, predictor.scheme)
    sacrum, rib = anchors(truth, predictor.scheme, names)
    return {
        "number": number,
        "posterior": repr(column.probability),
        "right": "" if judged is None or column.posterior is None else int(judged.is_right),
        "counted": "" if counted is None or column.posterior is None else int(counted.is_right),
        "missed": "" if judged is None else len(judged.missed),
        "wrong": "" if judged is None else " ".join(predictor.scheme.names[i] for i in judged.wrong),
        "sacrum": int(sacrum),
        "rib": int(rib),
        "variant": "+".join(str(sum(name.startswith(part) for name in names)) for part in "LT"),
        "vertebrae": len(column.found.vertebrae),
        "click": after_click(column, truth, predictor.scheme),
        "click_counted": after_click(column, as_counted, predictor.scheme),
        "seconds": round(time.process_time() - started, 2),
        "asks": int(any(reason.asks for reason in told)),
        "reasons": "; ".join(reason.text for reason in told),
    }


def judge(indices: Indices, truth: Indices, scheme: LabelScheme) -> ColumnJudgement | None:
    """Judge a label map."""
    counted = np.ones(truth.shape, bool)
    confusion = count_pairs(truth, indices, scheme.num_classes, counted)
    return judge_column(confusion, [c.index for c in scheme.classes if c.kind == "vertebra"])


def as_if_twelve(truth: Indices, names: list[str], scheme: LabelScheme) -> Indices:
    """Name thoracic vertebrae and discs as who counts from the lowest rib up does, for whom that is T12's.

    Args:
        truth: class indices ``(I, J, K)``.
        names: of the person's vertebrae, from the lowest up.
        scheme: of the indices.
    """
    levels = SchemeLevels(scheme)
    thoracic = [name for name in names if name.startswith("T")]
    called = dict(zip(thoracic, [f"T{number}" for number in range(12, 12 - len(thoracic), -1)], strict=True))
    table = np.arange(256, dtype=np.uint8)
    for name, index in levels.vertebrae.items():
        table[index] = levels.vertebrae.get(called.get(name, name), 0)
    for name, index in levels.discs.items():
        table[index] = levels.discs.get("/".join(called.get(part, part) for part in name.split("/")), 0)
    renamed: Indices = table[truth]
    return renamed


def anchors(truth: Indices, scheme: LabelScheme, names: list[str]) -> tuple[bool, bool]:
    """Whether the sacrum, and the lowest vertebra with a rib, are in the field of view."""
    sizes = np.bincount(truth.ravel(), minlength=scheme.num_classes)
    levels = SchemeLevels(scheme)
    vertebrae = sizes[list(levels.vertebrae.values())]
    least = _ANCHOR * np.median(vertebrae[vertebrae > 0]) if vertebrae.any() else np.inf
    rib = levels.vertebrae.get(next(name for name in names if name.startswith("T")))
    return bool(sizes[list(levels.sacra)].sum() >= least), rib is not None and bool(sizes[rib] >= least)


def after_click(column: Column, truth: Indices, scheme: LabelScheme) -> str:
    """Say the level of the vertebra in the middle, as a person would, and judge the column that follows from it."""
    if column.evidence is None:
        return ""
    levels, found = SchemeLevels(scheme), column.found
    classes = list(levels.vertebrae.values())
    inside = truth[found.box]
    middle = (len(found.vertebrae) - 1) / 2
    for place in sorted(range(len(found.vertebrae)), key=lambda i: (found.vertebrae[i].cut, abs(i - middle))):
        here = inside[found.ids == found.vertebrae[place].id]
        named = here[np.isin(here, classes)]
        if 2 * len(named) > len(here):
            level = list(levels.vertebrae)[classes.index(int(np.bincount(named).argmax()))]
            posterior = infer(weigh(column.evidence, levels, Weights(), Given({place: level})))
            if not posterior.namings:
                return "0"
            indices = column.indices.copy()
            indices[found.box] = rename(indices[found.box], found, posterior, levels)[0]
            judged = judge(indices, truth, scheme)
            return "" if judged is None else str(int(judged.is_right))
    return "0"


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows that are there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
