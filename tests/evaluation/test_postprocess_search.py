from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.datasets.sources import alone
from spine_ignite.errors import RunError
from spine_ignite.evaluation.postprocess_search import try_steps
from spine_ignite.inference.postprocess.learned import Trial, steps_of_run, write_learned
from spine_ignite.labels import load_scheme
from spine_ignite.runs.directory import RunDirectory

SCHEME = load_scheme("lumbar-vertebrae")


def boxes() -> NDArray[np.uint8]:
    """L5, L4 and L3 as boxes, one above the other (axis 1 runs to the head)."""
    volume = np.zeros((30, 100, 5), np.uint8)
    for place in range(3):
        volume[5:25, 10 + 28 * place : 32 + 28 * place, 1:4] = SCHEME.values[1 + place]
    return volume


def test_a_step_is_kept_only_where_it_helps(tmp_path: Path, write_volume: Any) -> None:
    """L5 has stray voxels in the prediction, L4 has two parts in the reference itself, L3 has a hole there."""
    reference, prediction = boxes(), boxes()
    prediction[27:29, 95:99, 2] = SCHEME.values[1]
    for volume in (reference, prediction):
        volume[5:9, 60:63, 2] = 0
        volume[6:8, 61:63, 2] = SCHEME.values[2]
    reference[15:17, 75:77, 1:4] = 0
    prediction[15:17, 75:77, 1:4] = 0
    pairs = [
        (
            write_volume(tmp_path / "found.nii.gz", prediction, axes="PSR"),
            write_volume(tmp_path / "true.nii.gz", reference, axes="PSR"),
            alone(tmp_path, SCHEME),
        )
    ]
    trials = {trial.step: trial for trial in try_steps(pairs, SCHEME)}
    assert list(trials) == ["levels", "components:L5", "holes"]
    assert [step for step, trial in trials.items() if trial.kept] == ["components:L5"]
    assert trials["components:L5"].after == 1.0
    assert trials["holes"].after < trials["holes"].before == 1.0


def test_what_was_learned_is_what_a_run_does(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.config.write_text("predict: {postprocess: [levels]}\n")
    assert steps_of_run(run) == ("levels",)
    write_learned(run, [Trial("levels", 0.8, 0.7, False), Trial("components:L5", 0.8, 0.9, True)], ["Case1"])
    assert steps_of_run(run) == ("components:L5",)
    run.postprocess.write_text('{"steps": ["tidy"]}')
    with pytest.raises(RunError, match="no post-processing step 'tidy'.*spine-ignite postprocess"):
        steps_of_run(run)
