from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite.compare.runs import default_names, open_runs, trained_apart
from spine_ignite.datasets.split import Origin, Split, SplitCase
from spine_ignite.errors import DataError, UsageError
from spine_ignite.evaluation.table_files import table_hashes

WriteEvaluation = Callable[..., Path]
DICE = np.full((3, 3), 0.9)


@pytest.fixture
def first(write_evaluation: WriteEvaluation, tmp_path: Path) -> Path:
    return write_evaluation(tmp_path / "first", DICE)


def settings(**changes: Any) -> dict[str, Any]:
    return {"scheme": "lumbar-vertebrae", "checkpoint": "best.pt", "postprocess": [], **changes}


@pytest.mark.parametrize(
    ("cases", "changes", "message"),
    [
        (4, {}, "they were judged on different cases: 'Case4' only in SECOND; evaluate both on the same cases"),
        (1, {}, "they were judged on different cases: 'Case2' and 1 more only in FIRST; evaluate both"),
        (
            3,
            {"surfaces": "voxels"},
            "HD95, ASSD and NSD count surfaces by area in the first and by voxels in the second",
        ),
        (3, {"tolerance": 1.0}, "their surface tolerances differ, 2 mm and 1 mm; evaluate one of them again"),
        (
            3,
            {"settings": settings(scheme="spider")},
            "their label schemes differ, 'lumbar-vertebrae' and 'spider'; evaluate both with one",
        ),
        (
            3,
            {"names": ("background", "L5", "L4", "L3", "L2")},
            "their classes differ, 'L2' for one; evaluate both with one label scheme",
        ),
        (3, {"settings": settings(split="validation")}, "was judged on its test split, the second on its validation"),
    ],
)
def test_runs_that_were_judged_differently_are_refused(
    write_evaluation: WriteEvaluation, tmp_path: Path, cases: int, changes: dict[str, Any], message: str
) -> None:
    first = write_evaluation(tmp_path / "first", DICE, settings=settings(split="test"))
    second = write_evaluation(tmp_path / "second", np.full((cases, 3), 0.8), **changes)
    text = message.replace("FIRST", str(first)).replace("SECOND", str(second))
    with pytest.raises(DataError, match=re.escape(text)) as caught:
        open_runs([first, second])
    assert f"{first} and {second} cannot be compared" in str(caught.value)


def test_other_reference_masks_are_refused(first: Path, write_evaluation: WriteEvaluation, tmp_path: Path) -> None:
    second = write_evaluation(tmp_path / "second", DICE)
    change(second, lambda plain: plain["per_case"]["Case2"].update(reference="other"))
    with pytest.raises(
        DataError, match="their reference masks differ in case 'Case2'; evaluate both by the same masks"
    ):
        open_runs([first, second])
    change(second, lambda plain: plain["per_case"]["Case2"].update(reference=""))
    with pytest.raises(DataError, match="does not say by which reference mask 'Case2' was judged; evaluate it again"):
        open_runs([first, second])


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "summary.json"
    plain = json.loads(path.read_text())
    edit(plain)
    plain["tables"] = table_hashes(folder)
    path.write_text(json.dumps(plain))


def test_cases_are_matched_by_id_in_whatever_order(write_evaluation: WriteEvaluation, tmp_path: Path) -> None:
    """A run's cases are named like images, those of --predictions like masks: Case1 is 1."""
    run = write_evaluation(tmp_path / "run", np.array([[0.9] * 3, [0.8] * 3, [0.7] * 3]))
    other = write_evaluation(tmp_path / "other", np.array([[0.6] * 3, [0.5] * 3, [0.4] * 3]))
    for name in ("cases.csv", "confusion.csv"):
        path = other / name
        path.write_text(re.sub(r"^Case", "", path.read_text(), flags=re.M))

    def rename(plain: dict[str, Any]) -> None:
        plain["per_case"] = {name.removeprefix("Case"): kept for name, kept in reversed(plain["per_case"].items())}

    change(other, rename)
    from spine_ignite.compare.scores import stack

    scores = stack(open_runs([run, other]))
    assert scores.cases == ("Case1", "Case2", "Case3")
    np.testing.assert_allclose(scores.per_case("dice"), [[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]])


def test_a_run_given_twice_is_refused_by_whatever_path(first: Path) -> None:
    (first.parent / "link").symlink_to(first)
    with pytest.raises(UsageError, match=r"first and .*link are the same evaluation; give each run once"):
        open_runs([first, first.parent / "link"])


def test_a_run_directory_and_its_evaluation_are_the_same(write_evaluation: WriteEvaluation, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    write_evaluation(tmp_path / "evaluation" / "test", DICE)
    with pytest.raises(UsageError, match="are the same evaluation"):
        open_runs([tmp_path, tmp_path / "evaluation" / "test"])


def test_what_is_no_evaluation_is_refused(first: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two runs"):
        open_runs([first])
    with pytest.raises(DataError, match="neither a run directory .it has no config.yaml. nor a folder that"):
        open_runs([first, tmp_path / "none"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(DataError, match=r"no evaluation in .*run/evaluation/validation; .*spine-ignite evaluate"):
        open_runs([first, tmp_path / "run"], split="validation")


def test_names(first: Path, write_evaluation: WriteEvaluation, tmp_path: Path) -> None:
    second = write_evaluation(tmp_path / "other" / "first", DICE)
    expected = [f"{tmp_path.name}/first", "other/first"]
    assert [run.name for run in open_runs([first, second])] == expected
    assert [run.name for run in open_runs([first, second], names=[" A", "B "])] == ["A", "B"]
    with pytest.raises(UsageError, match="--names must give one name for each of the 2 runs, got 1"):
        open_runs([first, second], names=["A", ""])
    with pytest.raises(UsageError, match="--names gives 'A' to two runs"):
        open_runs([first, second], names=["A", "A"])
    assert default_names([Path("/a/x/test"), Path("/b/x/test"), Path("/c/y")]) == ["a/x/test", "b/x/test", "y"]


def test_what_the_networks_were_trained_on_is_compared(write_evaluation: WriteEvaluation, tmp_path: Path) -> None:
    origin = Origin(seed=0, validation=0.2, folds=5, fold=None, fraction=1.0)
    paths = []
    for name, numbers in (("a", (1, 2, 3)), ("b", (3, 2, 1)), ("c", (2, 3, 4, 5)), ("old", ())):
        run = write_evaluation(tmp_path / name / "evaluation" / "test", DICE).parents[1]
        (run / "config.yaml").write_text("{}")
        cases = tuple(
            SplitCase(name=f"Case{n}", id=str(n), patient=str(n), image=f"{n:064x}", mask=None, voxels=f"{n:064x}")
            for n in numbers
        )
        if cases:
            (run / "split.json").write_text(Split(origin=origin, training=cases, validation=(), test=()).to_json())
        paths.append(run)
    assert trained_apart(open_runs(paths[:2])) == []
    assert trained_apart(open_runs(paths[1:])) == [
        "Which cases old was trained on is not known: it has no split.json.",
        "The runs were trained on different images: b on 3, c on 4; 2 are common to all.",
    ]
